// A terminal's WebSocket, which app/terminals/bridge.py answers.
//
// What is sent goes in pieces, and only while the browser holds little of it unsent: a WebSocket has no other way to say
// that it is full than `bufferedAmount`, and no event for when it no longer is. What came is credited to the other side
// once it is on the screen, in steps, so that a credit does not follow every frame; `hold` keeps the credit back, and
// after 256 KiB the server is not read from any more. A credit lies behind what was sent before it, which a server that is
// not read from may not take: so the app tells what was taken, and little is sent ahead of that.
import {at} from "../facts.js";
import {serverPath} from "../rest.js";

const PIECE = 65_536;
const MOST_BUFFERED = 1_048_576;
const LOOK_MS = 15;
const CREDIT_STEP = 65_536;
const MOST_AHEAD = 4_194_304;

/** `listener` is called: opened, accepted, received, serverEnded, complained, sent, finished, moved, closed. */
export class Wire {
  holding = false;
  finishing = false;
  /** Bytes of what is on its way together, from the first that had to wait. */
  burst = 0;
  #socket;
  #listener;
  #queue = [];
  #queued = 0;
  #look = 0;
  #unshown = 0;
  #credit = 0;
  #gone = 0; // bytes sent in all
  #taken = null; // and those of them that the server's end has taken; null while the app does not tell
  #opened = false;

  constructor(server, listener) {
    this.#listener = listener;
    const address = new URL(`${at(serverPath(server, "terminal"))}?taken=1`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(address, "echodeck.v1"));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({data}) => {
      if (typeof data === "string") this.#receive(JSON.parse(data));
      else {
        this.#unshown += data.byteLength;
        listener.received(new Uint8Array(data));
      }
    };
    socket.onclose = ({code, reason}) => {
      clearTimeout(this.#look);
      const unsent = this.unsent;
      this.#queue = [];
      this.#queued = 0;
      listener.closed({code, reason, opened: this.#opened, unsent});
    };
  }

  /** Bytes that have not left the browser. */
  get unsent() {
    return this.#queued + this.#socket.bufferedAmount;
  }

  /** Bytes that came and are not credited because of `hold`. */
  get held() {
    return this.holding ? this.#credit : 0;
  }

  send(bytes) {
    if (this.finishing || this.#socket.readyState > WebSocket.OPEN) return false;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.burst = Math.max(this.burst, this.unsent);
    this.#pump();
    return true;
  }

  /** Send EOF after all that was sent before. */
  finish() {
    if (this.finishing) return;
    this.finishing = true;
    this.#pump();
  }

  /** Forget what has not gone yet; returns how many bytes that are. */
  cancel() {
    const dropped = this.#queued;
    this.#queue = [];
    this.#queued = 0;
    this.#pump();
    return dropped;
  }

  /** So many bytes of what came are on the screen. */
  shown(count) {
    this.#unshown -= count;
    this.#credit += count;
    this.#grant();
  }

  hold(on) {
    this.holding = on;
    this.#grant();
  }

  close() {
    this.#socket.close(1000);
  }

  #receive(message) {
    if (message.type === "opened") {
      this.#opened = true;
      this.#taken = message.taken ?? null; // in a fleet it may be an app of an earlier version that answers
      this.#listener.opened(message);
      this.#pump();
    } else if (message.type === "accepted") this.#listener.accepted(message.connection);
    else if (message.type === "eof") this.#listener.serverEnded();
    else if (message.type === "taken") {
      this.#taken = message.bytes;
      if (this.#queue.length) this.#pump();
    } else if (message.type === "error") this.#listener.complained(message.message);
  }

  #grant() {
    if (this.holding || !this.#credit || this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#credit < CREDIT_STEP && this.#unshown) return;
    this.#socket.send(JSON.stringify({type: "credit", bytes: this.#credit}));
    this.#credit = 0;
  }

  get #mayGo() {
    return this.#socket.bufferedAmount < MOST_BUFFERED && (this.#taken === null || this.#gone - this.#taken < MOST_AHEAD);
  }

  #pump() {
    if (!this.#opened || this.#socket.readyState !== WebSocket.OPEN) return;
    while (this.#queue.length && this.#mayGo) {
      const next = this.#queue[0];
      const piece = next.slice(0, PIECE);
      if (next.length > PIECE) this.#queue[0] = next.subarray(PIECE);
      else this.#queue.shift();
      this.#queued -= piece.length;
      this.#gone += piece.length;
      this.#socket.send(piece);
      this.#listener.sent(piece);
    }
    if (this.finishing && !this.#queue.length && !this.#ended) {
      this.#ended = true;
      this.#socket.send('{"type":"eof"}');
      this.#listener.finished();
    }
    this.#listener.moved();
    clearTimeout(this.#look);
    if (this.unsent) this.#look = setTimeout(() => this.#pump(), LOOK_MS);
    else this.burst = 0;
  }

  #ended = false;
}
