// A terminal's screen: an xterm.js, made when it is to be seen and thrown away when it is not.
//
// What comes is made harmless text first (bytes.js), unless the reader has ANSI interpreted. Even then the emulator
// keeps to its own screen: titles, links and the clipboard (OSC 0-2, 8, 52) are ignored, so are repetitions that would
// keep the page busy for minutes, and its answers to queries go nowhere while its standard input is off, as it is in
// line mode: an echo server would send them back as if they had been typed.
import {FitAddon} from "../vendor/xterm-addon-fit/lib/addon-fit.mjs";
import {Terminal as Emulator} from "../vendor/xterm/lib/xterm.mjs";
import {_} from "../words.js";
import {followTheme} from "../painting/theme.js";
import {encode, soft, Visible} from "./bytes.js";
import {openWithoutStyleElements} from "./styles.js";
import {themeWithin} from "./theme.js";

const LINES = 2000;
const MOST_REPEATED = 10_000; // of what "CSI N x" does N times in a loop
const REPEATED = [..."ILMSTZb", " @", " A", "'}", "'~"];
const IGNORED = [0, 1, 2, 8, 52];
const MOST_SENT_SHOWN = 8192;
const KEYS_SCROLL = {ArrowUp: -1, ArrowDown: 1, PageUp: "pages", PageDown: "pages", Home: "top", End: "bottom"};
const SHOW_CURSOR = "\x1b[?25h";
const HIDE_CURSOR = "\x1b[?25l";

export class Screen {
  #place;
  #emulator;
  #fit = new FitAddon();
  #visible = new Visible();
  #ansi;
  #raw;
  #atLineStart = true;
  #unwritten = new Set(); // what was given to the emulator and is not on the screen yet
  #ends = [];

  /** `events` is called: typed(bytes), pasted(text), left() by F6; writes() when a key that writes comes in line mode. */
  constructor(place, {ansi, raw, name, events}) {
    this.#place = place;
    this.#ansi = ansi;
    this.#raw = raw;
    const style = getComputedStyle(place);
    const emulator = (this.#emulator = new Emulator({
      convertEol: true,
      cursorInactiveStyle: "outline",
      disableStdin: !raw,
      fontFamily: style.fontFamily,
      fontSize: parseFloat(style.fontSize),
      minimumContrastRatio: 4.5,
      scrollback: LINES,
      theme: themeWithin(place),
    }));
    emulator.loadAddon(this.#fit);
    for (const code of IGNORED) emulator.parser.registerOscHandler(code, () => true);
    for (const name of REPEATED) {
      const [intermediates, final] = name.length > 1 ? [name[0], name[1]] : ["", name];
      emulator.parser.registerCsiHandler({intermediates, final}, (parameters) => parameters[0] > MOST_REPEATED);
    }
    openWithoutStyleElements(emulator, place);
    emulator.attachCustomKeyEventHandler((event) => this.#takesKey(event, events.left));
    emulator.onData((data) => events.typed(encode(data)));
    emulator.onBinary((data) => events.typed(Uint8Array.from(data, (character) => character.charCodeAt(0))));
    emulator.textarea.tabIndex = raw ? 0 : -1;
    emulator.textarea.setAttribute("aria-label", raw ? _("Keys go to %(name)s as you type them; F6 leaves", {name}) : _("Screen of %(name)s", {name}));
    emulator.write(raw ? SHOW_CURSOR : HIDE_CURSOR);
    this.#ends.push(followTheme(() => (emulator.options.theme = themeWithin(place))));
    const sizes = new ResizeObserver(() => this.#fitSoon());
    sizes.observe(place);
    this.#ends.push(() => sizes.disconnect());
    this.#listen("paste", (event) => {
      if (!this.#hasFocus()) return;
      event.preventDefault();
      event.stopPropagation();
      events.pasted(event.clipboardData.getData("text/plain"));
    }, document);
    this.#listen("copy", (event) => {
      if (!this.#hasFocus() || !emulator.hasSelection()) return;
      event.preventDefault();
      event.stopPropagation();
      event.clipboardData.setData("text/plain", emulator.getSelection().trimEnd()); // without the rows below the last line
    }, document);
    this.#listen("keydown", (event) => this.#lineModeKey(event, events.writes));
    this.#scrollByTouch();
    this.#fit.fit();
  }

  /** Show what came; `shown` is called with its length once it is on the screen, or never will be. */
  received(bytes, shown = () => {}) {
    const {length} = bytes;
    const content = this.#ansi ? bytes : this.#visible.read(bytes);
    this.#atLineStart = bytes[length - 1] === 10 || bytes[length - 1] === 13;
    const piece = () => this.#unwritten.delete(piece) && shown(length);
    this.#unwritten.add(piece);
    this.#emulator.write(content, piece);
  }

  /** Show a line that was sent, as one's own. */
  sent(bytes) {
    const text = new Visible().read(bytes.subarray(0, MOST_SENT_SHOWN));
    const more = bytes.length - MOST_SENT_SHOWN;
    const lines = text.replaceAll("\x1b[90m", "").replaceAll("\x1b[39m", "").replace(/\r\n$/, "").split("\r\n");
    const end = more > 0 ? " …" : bytes.at(-1) === 10 ? (bytes.at(-2) === 13 ? "\\r\\n" : "") : ` ${_("(no line end)")}`;
    this.#line(lines.map((line, place) => soft(`> ${line}${place === lines.length - 1 ? end : ""}`)).join("\r\n"));
  }

  /** Show a line about the connection. */
  event(words) {
    const rest = this.#ansi ? "" : this.#visible.end();
    if (rest) this.#emulator.write(rest);
    this.#line(soft(`— ${words}`));
  }

  focus() {
    (this.#raw ? this.#emulator : this.#place).focus();
  }

  dispose() {
    for (const end of this.#ends) end();
    this.#emulator.dispose();
    this.#emulator = null;
    for (const piece of this.#unwritten) piece();
  }

  #line(text) {
    this.#emulator.write(`${this.#atLineStart ? "" : "\r\n"}${text}\r\n`);
    this.#atLineStart = true;
  }

  #takesKey(event, leave) {
    if (!this.#raw) return false;
    if (event.key !== "F6") return true;
    event.preventDefault();
    if (event.type === "keydown") leave();
    return false;
  }

  #lineModeKey(event, writes) {
    if (this.#raw) return;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "a") {
      event.preventDefault(); // else the browser takes the whole page
      this.#emulator.selectAll();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.length === 1) writes(); // the character goes where the focus is then
    const scrolls = KEYS_SCROLL[event.key];
    if (scrolls === undefined) return;
    event.preventDefault();
    if (scrolls === "pages") this.#emulator.scrollPages(event.key === "PageUp" ? -1 : 1);
    else if (scrolls === "top") this.#emulator.scrollToTop();
    else if (scrolls === "bottom") this.#emulator.scrollToBottom();
    else this.#emulator.scrollLines(scrolls);
  }

  /** xterm.js scrolls by wheel and keys only; a finger pulls the lines with it. */
  #scrollByTouch() {
    let from = null;
    const ends = () => { from = null; };
    this.#listen("touchstart", ({touches}) => { from = touches.length === 1 ? touches[0].clientY : null; });
    this.#listen("touchmove", (event) => {
      if (from === null) return;
      const lineHeight = this.#place.clientHeight / this.#emulator.rows;
      const lines = Math.trunc((from - event.touches[0].clientY) / lineHeight);
      const {viewportY, baseY} = this.#emulator.buffer.active;
      if (baseY && event.cancelable && (lines < 0 ? viewportY > 0 : viewportY < baseY || lines === 0)) event.preventDefault();
      if (!lines) return;
      this.#emulator.scrollLines(lines);
      from -= lines * lineHeight;
    });
    this.#listen("touchend", ends);
    this.#listen("touchcancel", ends);
  }

  /** It tells whose an event of the clipboard is: where no text can be edited, Firefox fires it where the caret was last. */
  #hasFocus() {
    return this.#place.contains(document.activeElement);
  }

  #listen(type, act, target = this.#place) {
    target.addEventListener(type, act, {capture: true, passive: false});
    this.#ends.push(() => target.removeEventListener(type, act, {capture: true}));
  }

  #fitting = 0;

  #fitSoon() {
    cancelAnimationFrame(this.#fitting);
    this.#fitting = requestAnimationFrame(() => this.#emulator && this.#fit.fit());
  }
}
