// A list of what happened, the newest first: what REST has of it, kept up to date by the feed, with earlier ones on
// request. The feed alone would not do: it holds the latest of all servers together.
import {call} from "../rest.js";

export class Records {
  items = [];
  next = null;
  loaded = false;
  #known = new Map();
  #asked = 0;

  /** `query` is what REST is asked (`server`, …); `fits(one)` whether something told by the feed is of this list. */
  constructor(path, query, fits, limit) {
    this.path = path;
    this.query = query;
    this.fits = fits;
    this.limit = limit;
  }

  /** Ask anew, from the beginning. */
  async load() {
    const turn = ++this.#asked;
    const {items, next} = await this.#ask();
    if (turn !== this.#asked) return false;
    this.#known = new Map(items.map((one) => [one.id, one]));
    this.next = next;
    this.loaded = true;
    this.#sort();
    return true;
  }

  async more() {
    const turn = this.#asked;
    const {items, next} = await this.#ask(this.next);
    if (turn !== this.#asked) return;
    for (const one of items) if (!this.#known.has(one.id)) this.#known.set(one.id, one);
    this.next = next;
    this.#sort();
  }

  /** Take over what the feed told; returns whether something was taken away, so that it should be loaded anew. */
  take(ids, told) {
    let gone = false;
    for (const id of ids) {
      const one = told.get(id);
      if (one && this.fits(one)) this.#known.set(id, one);
      else if (!one && this.#known.delete(id)) gone = true;
    }
    this.#sort();
    return gone;
  }

  #ask(after) {
    const wanted = Object.entries({...this.query, limit: this.limit, after}).filter(([, text]) => text);
    return call("GET", `${this.path}?${new URLSearchParams(wanted)}`);
  }

  #sort() {
    this.items = [...this.#known.values()].sort((one, other) => Number(other.id) - Number(one.id));
  }
}
