// The tools beneath a terminal: quick lines, EOF, hold, how its bytes are taken and shown, and the recording.
import {size} from "../figures.js";
import {html, nothing} from "../painting/lit.js";
import {_} from "../words.js";
import {keysShown} from "./bytes.js";
import {MOST_BYTES} from "./log.js";

const QUICK = ["hello", "quit", "boom"];
const KEPT_MS = 60_000; // a recording, for the browser to write it to a file

/** `quick(line)` sends a line, `toggle(what)` turns "raw", "ansi" or "hex" on or off. */
export function tools(terminal, {quick, toggle}) {
  const {open, ended} = terminal;
  const choice = (what, words) => html`<button class="small" name=${what} aria-pressed=${terminal[what] ? "true" : "false"} @click=${() => toggle(what)}>${words}</button>`;
  return html`<div class="tools" role="group" aria-label=${_("Tools of %(name)s", {name: terminal.name})}>
    <span>
      ${QUICK.map((line) => html`<button class="small" ?disabled=${!open || ended} @click=${() => quick(line)}><span class="unseen">${_("Send")} </span><code translate="no">${line}</code></button>`)}
      <button class="small" ?disabled=${!open || ended} @click=${() => terminal.sendEof()}>${_("Send EOF")}</button>
    </span>
    <span>
      <button class="small" aria-pressed=${terminal.holding ? "true" : "false"} ?disabled=${!open} @click=${() => terminal.hold(!terminal.holding)}>${_("Hold")}</button>
      ${choice("raw", _("Raw keys"))} ${choice("ansi", _("Interpret ANSI"))} ${choice("hex", _("Hex"))}
      <button class="small" @click=${() => download(terminal)}>${_("Download")}</button>
    </span>
    <p class="moved">${_("sent")} <b>${size(terminal.bytesSent)}</b> · ${_("received")} <b>${size(terminal.bytesReceived)}</b></p>
  </div>`;
}

/** What is unusual about how the terminal is set. */
export function hints(terminal) {
  const parts = [];
  if (terminal.holding) parts.push(_("Held: the server is not read from once 256 KiB are under way; its writes then block."));
  if (terminal.raw && terminal.hex) parts.push(_("Keys are taken on the screen; leave hex to type."));
  else if (terminal.raw)
    parts.push(
      terminal.ending === "none"
        ? _("Keys go as you type them, unseen until the server echoes them; Enter sends CR. F6 leaves the screen.")
        : _("Keys go as you type them, unseen until the server echoes them; Enter sends %(ending)s. F6 leaves the screen.", {ending: terminal.ending.toUpperCase()}),
    );
  if (terminal.raw && !terminal.hex && terminal.lastSent) parts.push(_("Sent last: %(keys)s", {keys: keysShown(terminal.lastSent)}));
  if (terminal.ansi)
    parts.push(
      terminal.raw
        ? _("ANSI acts on this screen only; titles, links and the clipboard are ignored. Answers to queries are sent, as a terminal does.")
        : _("ANSI acts on this screen only; titles, links and the clipboard are ignored, and queries are not answered."),
    );
  if (terminal.log.cut.entries) parts.push(_("The download has the latest %(size)s; what came before is cut.", {size: size(MOST_BYTES)}));
  return parts.length ? html`<p class="hints">${parts.join(" ")}</p>` : nothing;
}

function download({log, name}) {
  const address = URL.createObjectURL(new Blob([...log.lines()], {type: "application/jsonl"}));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${name.replace(" #", "-")}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}
