// A tap: one connection's bytes, both ways, as they go through. One at a time; a bounded number of bytes, the latest.
import {timeOfDay} from "../figures.js";
import {html, nothing, render} from "../painting/lit.js";
import {openStream} from "../stream.js";
import {HIDDEN} from "../terminal/bytes.js";
import {dump} from "../terminal/hex.js";
import {_, n_} from "../words.js";

const MOST_PIECES = 300;
const MOST_BYTES = 65_536;
const PIECE = 4096; // bytes shown of one piece
const PAINT_MS = 100;

export function openTap(place) {
  let closeStream = () => {};
  let state = null; // {peer, id, pieces, bytes, lost, ended, hex}
  let timer = 0;

  const close = () => {
    closeStream();
    closeStream = () => {};
    state = null;
    clearTimeout(timer);
    timer = 0;
    place.hidden = true;
    render(nothing, place);
  };
  const later = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      paint();
    }, PAINT_MS);
  };
  return {open, close};

  function open({id, peer}) {
    close();
    state = {id, peer, pieces: [], bytes: 0, left: 0, in: 0, out: 0, lost: 0, ended: "", hex: false};
    closeStream = openStream(`/connections/${encodeURIComponent(id)}/tap`, {
      heard: (name, data) => {
        if (name === "bytes") take(data);
        else if (name === "lost") {
          state.lost += data.bytes;
          later();
        } else if (name === "closed") end(_("The connection has ended."));
        else if (name === "dropped") end(_("This page took too long; the app let go of the tap."));
      },
      // A tap that is opened anew would have a hole that nobody sees.
      ended: () => end(_("The tap has ended.")),
    });
    place.hidden = false;
    paint();
    place.scrollIntoView({block: "nearest"});
    place.querySelector("button").focus({preventScroll: true});
  }

  function end(words) {
    closeStream();
    state.ended = words;
    later();
  }

  function take({at, direction, data}) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    state.pieces.push({at, direction, bytes, offset: state[direction]});
    state[direction] += bytes.length;
    state.bytes += bytes.length;
    while (state.pieces.length > MOST_PIECES || (state.bytes > MOST_BYTES && state.pieces.length > 1)) {
      const {length} = state.pieces.shift().bytes;
      state.bytes -= length;
      state.left += 1;
    }
    later();
  }

  function paint() {
    if (!state) return;
    const shown = place.querySelector(".bytes");
    const atEnd = !shown || shown.scrollHeight - shown.scrollTop - shown.clientHeight < 8;
    render(view(state), place);
    const now = place.querySelector(".bytes");
    if (atEnd && now) now.scrollTop = now.scrollHeight;
  }

  function view({peer, pieces, hex, lost, left, ended}) {
    return html`<header><h3>${_("Tap")} <span translate="no">${peer}</span></h3>
        <span class="two" role="group" aria-label=${_("Show as")}><button class="small" aria-pressed=${String(!hex)} @click=${() => as(false)}>${_("text")}</button><button class="small" aria-pressed=${String(hex)} @click=${() => as(true)}>${_("hex")}</button></span>
        <button class="small" @click=${close}>${_("Close")}</button></header>
      <p class="aside" role="status">${ended || _("What goes through from now on.")}${left ? html` ${n_("One earlier piece is no longer kept.", "%(n)s earlier pieces are no longer kept.", left)}` : nothing}${lost ? html` <span class="trouble">${_("%(n)s bytes came too fast to be shown.", {n: lost})}</span>` : nothing}</p>
      <ol class="bytes" tabindex="0" role="log" aria-label=${_("Bytes")} aria-live="off">${pieces.map((piece) => html`<li class="goes-${piece.direction}"><span><b>${piece.direction === "in" ? _("→ in") : _("← out")}</b> <time datetime=${piece.at}>${timeOfDay(piece.at)}</time></span><pre translate="no">${hex ? dumped(piece) : written(piece.bytes)}</pre></li>`)}</ol>`;
  }

  function as(hex) {
    state.hex = hex;
    paint();
  }
}

const dumped = ({bytes, offset}) => dump("", bytes.subarray(0, PIECE), offset) + more(bytes);
const more = (bytes) => (bytes.length > PIECE ? `\n${n_("and one byte more", "and %(n)s bytes more", bytes.length - PIECE)}` : "");

const NAMED = {"\n": "\\n\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"};
// Control characters, and those that turn or hide the text around them (UAX 9).
const ACTS = new RegExp(`[\\x00-\\x1f\\\\\\x7f-\\x9f${HIDDEN}]`, "gu");

const escaped = (code) => (code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`);
const tamed = (text) => text.replace(ACTS, (one) => NAMED[one] ?? escaped(one.codePointAt(0)));

/** Bytes as text in which everything can be seen; where they are no UTF-8, those beyond ASCII as \xNN. */
export function written(bytes) {
  const part = bytes.subarray(0, PIECE);
  let text;
  try {
    text = tamed(new TextDecoder("utf-8", {fatal: true, ignoreBOM: true}).decode(part));
  } catch {
    text = [...part].map((byte) => (byte < 0x80 ? tamed(String.fromCharCode(byte)) : escaped(byte))).join("");
  }
  return text + more(bytes);
}
