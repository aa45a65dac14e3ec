// When a terminal connects again. A connection that ended cannot be gone on with: what comes back is a new client.
//
// If the app or the node of the server stopped or could not be reached, the reader did nothing and wants the terminal back: it comes by itself,
// once the app answers and the server runs. It asks a few times, each time later, and whenever the feed is live again.
// If the server was stopped, somebody wanted that, and may want its first client to be another one (of a `blocking` server
// there is room for one): then coming back is offered when it runs again, and done by the reader. In every other case
// the server, or the reader, has ended the talk: there is a button.
import {feed} from "../feed.js";
import {call, serverPath} from "../rest.js";
import {codes} from "../facts.js";
import {LOST} from "./ends.js";

const FIRST_MS = 500;
const LONGEST_MS = 15_000;
const MOST_TRIES = 10;
const LASTED_MS = 10_000; // a connection that held so long was one
const APART_MS = 20; // many terminals do not come back in the same moment, and come in the order in which they were opened
const SPREAD_MS = 400

export class Comeback {
  /** "" while there is nothing to say, "trying", "given-up" (but for when the feed is live), "gone", "offered". */
  state = "";
  #terminal;
  #tries = 0;
  #timer = 0;
  #forget = [];

  constructor(terminal) {
    this.#terminal = terminal;
  }

  /** It was closed, after `lasted` milliseconds with the server. */
  consider(code, lasted) {
    this.stop();
    if (lasted > LASTED_MS) this.#tries = 0;
    if ([codes.APP_STOPS, codes.NODE_LOST, LOST].includes(code)) {
      this.#setState("trying");
      const live = () => feed.status === "live" && this.#tryIn(Math.min(this.#terminal.id * APART_MS, SPREAD_MS));
      feed.addEventListener("status", live);
      this.#forget.push(() => feed.removeEventListener("status", live));
      this.#wait();
    } else if (code === codes.STOPPED || code === codes.REFUSED) this.#await();
  }

  stop() {
    clearTimeout(this.#timer);
    for (const forget of this.#forget) forget();
    this.#forget = [];
    this.state = "";
  }

  /** The reader wants it: count anew. */
  begin() {
    this.stop();
    this.#tries = 0;
  }

  #wait() {
    if (this.#tries >= MOST_TRIES) this.#setState("given-up");
    else this.#tryIn(Math.min(FIRST_MS * 2 ** this.#tries, LONGEST_MS) * (0.75 + Math.random() / 2));
  }

  #tryIn(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#try(), delay);
  }

  async #try() {
    this.#tries += 1;
    const still = this.#forget;
    const state = await stateOf(this.#terminal.server);
    if (this.#forget !== still) return; // the reader was quicker
    if (state === "running") {
      this.stop();
      this.#terminal.connect();
    } else if (state === "gone") {
      this.stop();
      this.#setState("gone");
    } else if (state === "stopped") {
      this.stop();
      this.#await();
    } else this.#wait();
  }

  #await() {
    const {server} = this.#terminal;
    const look = () => {
      const there = feed.servers.get(server);
      const state = there ? (there.state === "running" ? "offered" : "") : "gone";
      if (state !== this.state) this.#setState(state);
    };
    this.#forget.push(feed.follow((changes) => (changes.servers.has(server) || changes.snapshot) && look()));
    if (feed.status === "live" && !feed.servers.has(server)) look();
  }

  #setState(state) {
    this.state = state;
    this.#terminal.changed();
  }
}

/** Of a server, "gone" if there is none, null if nobody answers. */
async function stateOf(server) {
  try {
    return (await call("GET", serverPath(server))).state;
  } catch (problem) {
    return problem.status === 404 ? "gone" : null;
  }
}
