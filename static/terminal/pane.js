// What is seen of a terminal: its state, its screen or hex view, the line to write, and its tools.
//
// The panes that are not shown do not exist; what they show is painted anew from the terminal's log. An emulator costs
// megabytes, a terminal that nobody looks at only its log.
import {act, busyWhile} from "../actions.js";
import {root} from "../facts.js";
import {size} from "../figures.js";
import {html, live, nothing, render} from "../painting/lit.js";
import {_} from "../words.js";
import {Aloud} from "./aloud.js";
import {Hex} from "./hex.js";
import {Screen} from "./screen.js";
import {terminals} from "./terminals.js";
import {hints, tools} from "./tools.js";

const LATEST = 131_072; // bytes that a new screen is painted from
const LARGE = 262_144; // what is on its way is shown from here on

/** `element` is to be put into the page; `begin()` once it is there, `dispose()` when it is to go. */
export class Pane {
  element = document.createElement("section");
  #terminal;
  #screen = null;
  #hex = null;
  #aloud;
  #painting = 0;
  #openAnother;

  constructor(terminal, openAnother) {
    this.#terminal = terminal;
    this.#openAnother = openAnother;
    this.element.className = "pane";
    this.element.setAttribute("aria-label", _("Terminal %(name)s", {name: terminal.name}));
    this.#paint();
    this.#aloud = new Aloud(this.#find(".heard"));
  }

  begin() {
    this.#terminal.pane = this;
    this.#makeView();
  }

  dispose() {
    this.#terminal.pane = null;
    cancelAnimationFrame(this.#painting);
    this.#aloud.dispose();
    this.#dropView();
  }

  focus() {
    if (this.#terminal.raw && this.#screen) this.#screen.focus();
    else this.#find("input").focus();
  }

  /** Something of the terminal has changed; painted with the next frame. */
  changed() {
    cancelAnimationFrame(this.#painting);
    this.#painting = requestAnimationFrame(() => this.#paint());
  }

  // What the terminal tells (`Terminal.pane`)

  sent(bytes) {
    this.#screen?.sent(bytes);
  }

  received(entry, shown) {
    this.#hex?.add(entry);
    if (this.#screen) this.#screen.received(entry.bytes, shown);
    else shown(entry.bytes.length);
    this.#aloud.received(entry.bytes);
    this.changed();
  }

  entry(entry) {
    this.#hex?.add(entry);
    if (entry.words) this.#screen?.event(entry.words);
  }

  // Screen or hex

  #makeView() {
    this.#dropView();
    const terminal = this.#terminal;
    const entries = terminal.log.latest(LATEST);
    if (terminal.hex) {
      this.#hex = new Hex(this.#find(".hex"), entries);
      return;
    }
    this.#screen = new Screen(this.#find(".screen"), {
      ansi: terminal.ansi,
      raw: terminal.raw,
      name: terminal.name,
      events: {
        typed: (bytes) => terminal.sendKeys(bytes),
        pasted: (text) => this.#paste(text),
        left: () => this.#find("[name=raw]").focus(),
        writes: () => this.#find("input").focus(),
      },
    });
    for (const entry of entries) {
      if (entry.dir === "in") this.#screen.received(entry.bytes);
      else if (entry.dir === "out" && !entry.raw) this.#screen.sent(entry.bytes);
      else if (entry.words) this.#screen.event(entry.words);
    }
  }

  #dropView() {
    this.#screen?.dispose();
    this.#hex?.dispose();
    this.#screen = this.#hex = null;
  }

  #toggle(what) {
    this.#terminal[what] = !this.#terminal[what];
    this.#paint();
    this.#makeView();
    if (what === "raw" && this.#terminal.raw) this.focus();
  }

  // What the reader does

  #submit(event) {
    event.preventDefault();
    const input = this.#find("input");
    if (this.#terminal.sendLine(input.value)) this.#write("");
    this.#paint();
  }

  #quick(line) {
    this.#terminal.trouble = "";
    this.#terminal.sendLine(line);
  }

  #key(event) {
    const {key, target: input} = event;
    if (key === "Enter" && event.repeat) event.preventDefault(); // a key that is held down says it once
    if ((key !== "ArrowUp" && key !== "ArrowDown") || event.isComposing) return;
    event.preventDefault();
    const {history} = this.#terminal;
    const line = (key === "ArrowUp" ? history.older(input.value) : history.newer(input.value)) ?? "";
    this.#write(line);
    input.setSelectionRange(line.length, line.length);
  }

  #pasteLine(event) {
    const text = event.clipboardData.getData("text/plain");
    if (!isLong(text)) return; // the browser's
    event.preventDefault();
    const input = event.target;
    const rest = this.#terminal.sendLines(input.value.slice(0, input.selectionStart) + text);
    if (rest === null) return;
    const kept = rest + input.value.slice(input.selectionEnd);
    this.#write(kept);
    input.setSelectionRange(rest.length, rest.length);
  }

  /** Into the screen: keys in raw mode, else meant for the line. */
  #paste(text) {
    const terminal = this.#terminal;
    if (terminal.raw) terminal.sendKeys(new TextEncoder().encode(text.replace(/\r\n?|\n/g, "\r")));
    else {
      this.#find("input").focus();
      const rest = isLong(text) ? terminal.sendLines(terminal.draft + text) : terminal.draft + text;
      if (rest !== null) this.#write(rest);
    }
  }

  #write(line) {
    this.#find("input").value = this.#terminal.draft = line;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  // How it looks

  #paint() {
    cancelAnimationFrame(this.#painting);
    const terminal = this.#terminal;
    this.element.className = `pane is-${terminal.status}${terminal.end?.trouble ? " is-trouble" : ""}`;
    render(this.#view(terminal), this.element);
  }

  #view(terminal) {
    return html`
      <header>
        <h3 translate="no">${terminal.name}</h3>
        <button class="quiet small" @click=${() => this.#openAnother(terminal.server)}>${_("Another")}<span class="unseen"> ${_("terminal to %(server)s", {server: terminal.server})}</span></button>
        <button class="quiet small" @click=${() => terminals.remove(terminal)}>${_("Close")}<span class="unseen" translate="no"> ${terminal.name}</span></button>
      </header>
      <div class="status">${this.#status(terminal)}</div>
      <div class="screen" tabindex=${terminal.raw ? -1 : 0} role="group" aria-label=${_("Screen of %(name)s", {name: terminal.name})} translate="no" ?hidden=${terminal.hex}></div>
      <pre class="hex" tabindex="0" role="group" aria-label=${_("Bytes in hex of %(name)s: > sent, < received", {name: terminal.name})} translate="no" ?hidden=${!terminal.hex}></pre>
      <div class="heard unseen" role="log" aria-live="polite" aria-label=${_("Received by %(name)s", {name: terminal.name})} translate="no"></div>
      ${this.#going(terminal)}
      ${this.#line(terminal)}
      ${tools(terminal, {quick: (line) => this.#quick(line), toggle: (what) => this.#toggle(what)})}
      ${hints(terminal)}`;
  }

  #status(terminal) {
    const {status, since, server, connection, end, comeback} = terminal;
    const time = since ? html` <time datetime=${since} data-since></time>` : nothing;
    if (status === "connecting") return this.#words(terminal.held ? _("connecting; no answer yet: a proxy on the way may hold it back") : _("connecting"));
    if (status === "waiting") return this.#words(_("waiting in the backlog: the server has not accepted this yet"), time);
    if (status === "inside") {
      const id = html` · <a href="${root}/ui/servers/${server}#connections">${_("connection")} <span translate="no">${connection}</span></a>`;
      const half = terminal.serverEnded
        ? html` · ${terminal.ended ? _("the server closed its side") : _("the server closed its side; you can still send")}`
        : terminal.ended
          ? html` · ${_("you sent EOF; the server may still answer")}`
          : nothing;
      return this.#words(_("inside"), html`${time}${id}${half}`);
    }
    const advise = {
      trying: _("It connects again by itself."),
      offered: _("The server runs again."),
      "given-up": _("It connects again when the app is back."),
      gone: _("There is no such server any more."),
    }[comeback.state];
    return html`${this.#words(end.what, html`${time}
        ${end.unsent ? html` · ${_("%(size)s were not sent", {size: size(end.unsent)})}` : nothing}
        ${advise || end.advise ? html` · ${advise ?? end.advise}` : nothing}`)}
      ${comeback.state === "offered" || !needsStart(terminal)
        ? html`<button class="small ${comeback.state === "offered" ? "primary" : ""}" @click=${() => this.#reconnect()}>${_("Reconnect")}</button>`
        : html`<button class="small" @click=${(event) => this.#startServer(event.currentTarget)}>${_("Start it and reconnect")}</button>`}`;
  }

  #words(words, more = nothing) {
    return html`<p role="status"><span class="mark" aria-hidden="true"></span><b>${words}</b>${more}</p>`;
  }

  #going(terminal) {
    const {left, whole} = terminal.going;
    if (whole < LARGE || !left) return nothing;
    return html`<p class="going">
      <progress max=${whole} value=${whole - left} aria-label=${_("Sending")}></progress>
      <span>${_("%(sent)s of %(whole)s", {sent: size(whole - left), whole: size(whole)})}</span>
      <button class="small" @click=${() => terminal.cancel()}>${_("Cancel")}</button>
    </p>`;
  }

  #line(terminal) {
    const wrong = terminal.trouble;
    const id = `line-${terminal.id}`;
    return html`<form class="line" @submit=${(event) => this.#submit(event)} ?hidden=${terminal.raw}>
        <label for=${id}><span aria-hidden="true">&gt;</span><span class="unseen">${_("Line to send to %(name)s", {name: terminal.name})}</span></label>
        <input id=${id} autocomplete="off" autocapitalize="off" autocorrect="off" spellcheck="false" enterkeyhint="send"
          .value=${live(terminal.draft)} aria-invalid=${wrong ? "true" : nothing} aria-describedby=${wrong ? `wrong-${id}` : nothing}
          placeholder=${_("a line")} title=${_("a line; \\n \\r \\t \\0 \\xNN are escapes")}
          @input=${(event) => (terminal.draft = event.target.value)} @keydown=${(event) => this.#key(event)} @paste=${(event) => this.#pasteLine(event)}>
        ${this.#ending(terminal)}
        <button>${_("Send")}</button>
      </form>
      ${wrong ? html`<p class="wrong" id=${`wrong-${id}`} role="alert">${wrong}</p>` : nothing}`;
  }

  #ending(terminal) {
    return html`<select aria-label=${_("Line end")} @change=${(event) => {
      terminal.ending = event.target.value;
      this.#paint();
    }}>
      ${[["lf", "LF"], ["crlf", "CRLF"], ["none", _("none")]].map(([value, words]) => html`<option value=${value} ?selected=${value === terminal.ending}>${words}</option>`)}
    </select>`;
  }

  #reconnect() {
    this.#terminal.reconnect();
    this.focus();
  }

  #startServer(button) {
    busyWhile(button, act(this.#terminal.server, "start").then(() => this.#terminal.reconnect()));
  }
}

/** Whether a paste is more than part of a line. */
const isLong = (text) => /[\r\n]/.test(text) || text.length >= LARGE;

/** It ended because the server does not run. */
function needsStart({end, comeback}) {
  return end.needsStart === true && comeback.state !== "trying" && comeback.state !== "gone";
}
