// One terminal: a connection to a server, and everything that is known of it. It lives as long as its tab in the dock,
// from one connection to the next, and whether it is seen or not: what is seen is pane.js's.
import {now, nowText} from "../clock.js";
import {codes} from "../facts.js";
import {call, Problem, serverPath} from "../rest.js";
import {_} from "../words.js";
import {bytesOf, encode, ENDINGS, textOf} from "./bytes.js";
import {Comeback} from "./comeback.js";
import {ending, LOST} from "./ends.js";
import {History} from "./history.js";
import {Log} from "./log.js";
import {Wire} from "./wire.js";

const PATIENCE_MS = 150; // a server that accepts at all does so before
const HELD_MS = 12_000; // then a proxy on the way may never answer the handshake
const LARGE_LINE = 65_536;

/**
 * `status` is "connecting" (`held` if for long), "waiting" (in the backlog), "inside" or "closed"; `local` the address of its end, which is
 * `peer` in GET /connections; `connection` its id there, once it was accepted. `notify(type)` is called with "change", "sent",
 * "received", "closed".
 */
export class Terminal {
  status = "connecting";
  held = false;
  local = null;
  peer = null;
  connection = null;
  since = null;
  lastSent = "";
  lastReceived = "";
  bytesSent = 0;
  bytesReceived = 0;
  serverEnded = false;
  ended = false;
  end = null; // how it ended: {what, advise, trouble}
  trouble = ""; // what is wrong with what the reader has just done

  raw = false;
  ansi = false;
  hex = false;
  ending = "lf";
  draft = "";

  /** Who shows it now, or null. Called: sent(bytes) of a line; received(entry, shown), which must lead to shown(count of
   * its bytes) once they are seen; entry(entry) of every other entry of the log. */
  pane = null;

  log = new Log();
  static #made = 0;
  #wire = null;
  #notify;
  #patience = 0;
  #opened = 0;
  #serverEndedFirst = false;
  #removed = false;

  constructor(server, number, notify) {
    this.id = ++Terminal.#made;
    this.server = server;
    this.number = number;
    this.name = `${server} #${number}`;
    this.history = new History(server);
    this.comeback = new Comeback(this);
    this.#notify = notify;
  }

  get open() {
    return this.status !== "closed";
  }

  get holding() {
    return this.#wire?.holding ?? false;
  }

  /** What is on its way: `left` of `whole` bytes. */
  get going() {
    return {left: this.#wire?.unsent ?? 0, whole: this.#wire?.burst ?? 0};
  }

  connect() {
    if (this.#wire && this.open) return;
    const again = this.#wire !== null;
    this.comeback.stop();
    Object.assign(this, {status: "connecting", held: false, local: null, peer: null, connection: null, since: null});
    Object.assign(this, {serverEnded: false, ended: false, end: null, trouble: "", bytesSent: 0, bytesReceived: 0});
    this.#opened = 0;
    this.#serverEndedFirst = false;
    if (again) this.#happened("connecting again", {}, _("connecting again, as a new client"));
    const wire = new Wire(this.server, this.#listener((count) => wire.shown(count)));
    this.#wire = wire;
    this.#patience = setTimeout(() => {
      this.held = true;
      this.changed();
    }, HELD_MS);
    this.changed();
  }

  /** The reader wants it connected. */
  reconnect() {
    this.comeback.begin();
    this.connect();
  }

  /** For good. */
  close() {
    this.#removed = true;
    this.comeback.stop();
    this.#wire?.close();
  }

  /** Send a line as the reader wrote it. False if it was not sent: `trouble` says why. */
  sendLine(line) {
    let bytes;
    try {
      bytes = bytesOf(line, ENDINGS[this.ending]);
    } catch (wrong) {
      if (!(wrong instanceof RangeError)) throw wrong;
      return this.#refuse(wrong.message);
    }
    if (!bytes.length) return this.#refuse(_("Nothing to send: the line is empty, and has no line end."));
    if (!this.#send(bytes)) return false;
    this.history.add(line);
    return true;
  }

  /**
   * Send what was pasted, as it is, but with the chosen line ends. The last line stays to be written on, as in every
   * terminal, if it has no end and is short. Returns what stays, null if nothing was sent.
   */
  sendLines(text) {
    const lineEnd = ENDINGS[this.ending];
    if (!lineEnd) return this.#send(encode(text)) ? "" : null;
    let lines = lineEnd === "\n" && !text.includes("\r") ? text : text.replace(/\r\n?|\n/g, lineEnd);
    let rest = "";
    const last = lines.lastIndexOf(lineEnd) + lineEnd.length;
    if (last < lines.length) {
      if (lines.length - last > LARGE_LINE) lines += lineEnd;
      else {
        rest = lines.slice(last);
        lines = lines.slice(0, last);
      }
    }
    return this.#send(encode(lines)) ? rest : null;
  }

  /** Send what was typed in raw mode; Enter, and a line's end in what was pasted, is the chosen line end. */
  sendKeys(bytes) {
    const lineEnd = ENDINGS[this.ending];
    const text = lineEnd && bytes.includes(13) ? textOf(bytes) : null;
    this.#send(text === null ? bytes : encode(text.replaceAll("\r", lineEnd)));
  }

  sendEof() {
    this.#wire.finish();
    this.changed();
  }

  cancel() {
    const dropped = this.#wire.cancel();
    this.#happened("cancelled", {bytes_not_sent: dropped}, _("cancelled: %(n)s bytes were not sent", {n: dropped}));
    this.changed();
  }

  hold(on) {
    this.#wire.hold(on);
    this.changed();
  }

  changed() {
    this.#notify("change", this);
  }

  #send(bytes) {
    this.trouble = "";
    if (!this.open) return this.#refuse(_("Not sent: the connection has ended. Reconnect first."));
    if (this.#wire.finishing) return this.#refuse(_("Not sent: you have sent EOF. What comes after it is nobody's."));
    this.lastSent = textOf(bytes.subarray(0, 200)) ?? "";
    if (!this.raw) this.pane?.sent(bytes);
    this.#wire.send(bytes);
    if (this.serverEnded && !this.draft) this.#wire.finish();
    this.changed();
    return true;
  }

  #refuse(words) {
    this.trouble = words;
    this.changed();
    return false;
  }

  #happened(what, more = {}, words = "") {
    const entry = this.log.add("event", {what, ...more, ...(words && {words})});
    this.pane?.entry(entry);
  }

  #listener(shown) {
    return {
      opened: ({local, peer}) => {
        clearTimeout(this.#patience);
        this.#opened = performance.now();
        this.local = local;
        this.peer = peer;
        this.#happened("opened", {local, peer});
        this.#patience = setTimeout(() => {
          if (this.status !== "connecting") return;
          this.status = "waiting";
          this.since = nowText();
          this.#happened("waiting");
          this.changed();
        }, PATIENCE_MS);
        this.changed();
      },
      accepted: (connection) => {
        this.status = "inside";
        this.connection = connection;
        this.since = nowText();
        this.#happened("accepted", {connection});
        this.changed();
      },
      received: (bytes) => {
        this.bytesReceived += bytes.length;
        this.lastReceived = textOf(bytes.subarray(-200)) ?? "";
        const entry = this.log.add("in", {bytes});
        if (this.pane) this.pane.received(entry, shown);
        else shown(bytes.length);
        this.#notify("received", this);
      },
      serverEnded: () => {
        this.serverEnded = true;
        this.#serverEndedFirst = !this.ended;
        this.#happened("eof from the server", {}, _("the server closed its side"));
        if (!this.draft) this.#wire.finish(); // as nc does; what is under way still goes before
        this.changed();
      },
      complained: (message) => this.#happened("error", {message}),
      sent: (bytes) => {
        this.bytesSent += bytes.length;
        const entry = this.log.add("out", {bytes, raw: this.raw});
        this.pane?.entry(entry);
        this.#notify("sent", this);
      },
      finished: () => {
        this.ended = true;
        this.#happened("eof sent");
        this.changed();
      },
      moved: () => this.changed(),
      closed: (how) => this.#closed(how),
    };
  }

  async #closed({code, reason, opened, unsent}) {
    clearTimeout(this.#patience);
    const lasted = this.#opened ? performance.now() - this.#opened : 0;
    const about = {code, reason, server: this.server, serverEndedFirst: this.#serverEndedFirst};
    const wire = this.#wire;
    this.status = "closed";
    this.since = nowText();
    this.end = ending(about);
    let again = code;
    if (code === LOST && !opened && !this.#removed) {
      const why = await whyNotOpened(this.server);
      if (wire !== this.#wire || !this.end) return;
      if (why) {
        this.end = why;
        again = codes.DONE;
      }
    }
    if (unsent) this.end = {...this.end, unsent};
    this.#happened("closed", {code, reason, ...(unsent && {bytes_not_sent: unsent})}, this.end.what);
    if (!this.#removed) this.comeback.consider(again, lasted);
    this.changed();
    this.#notify("closed", this);
  }
}

/** The browser does not say why a WebSocket was refused; asked by REST, the app does. Null if that will pass. */
async function whyNotOpened(server) {
  try {
    const {node} = await call("GET", serverPath(server));
    if (node) return null; // it may just have come there from another one
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return problem.status ? {what: problem.title, advise: problem.detail, trouble: true} : null;
  }
  const may = !("viewer" in document.getElementById("main").dataset);
  return {
    what: _("not opened"),
    advise: may ? _("The app or the browser has too many open: close some, then reconnect.") : _("You may only look on: log in with the other token."),
    trouble: true,
  };
}
