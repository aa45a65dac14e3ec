// A list of what happened, the newest first: what REST has of it, kept up to date by the feed, with earlier ones on
// request. The feed alone would not do: it holds the latest of all servers together.
import {call} from "../rest.js";

const MOST = 1000; // in one answer

export class Records {
  items = [];
  next = null;
  loaded = false;
  #known = new Map();
  #asked = 0;
  #loading = null;
  #meanwhile = null; // what is told while an answer is on its way, which may know nothing of it

  /** `query` is what REST is asked (`server`, …); `fits(one)` whether something told by the feed is of this list. */
  constructor(path, query, fits, limit) {
    this.path = path;
    this.query = query;
    this.fits = fits;
    this.limit = limit;
  }

  /** Ask anew, for as many as are known. */
  async load() {
    const turn = ++this.#asked;
    this.#meanwhile = new Map();
    this.#loading = this.#ask(null, Math.min(MOST, Math.max(this.limit, this.#known.size)));
    const {items, next} = await this.#loading;
    if (turn !== this.#asked) return;
    this.#known = new Map(items.map((one) => [one.id, one]));
    for (const [id, one] of this.#meanwhile) one ? this.#known.set(id, one) : this.#known.delete(id);
    this.#meanwhile = null;
    this.next = next;
    this.loaded = true;
    this.#sort();
  }

  async more() {
    await this.#loading?.catch(() => {});
    const turn = this.#asked;
    const {items, next} = await this.#ask(this.next, this.limit);
    if (turn !== this.#asked) return this.more();
    for (const one of items) if (!this.#known.has(one.id)) this.#known.set(one.id, one);
    this.next = next;
    this.#sort();
  }

  /** Take over what the feed told; returns whether it should be loaded anew: something was taken away, or it is much. */
  take(ids, told) {
    let gone = this.#known.size > MOST * 1.2;
    for (const id of ids) {
      const one = told.get(id);
      if (one && !this.fits(one)) continue;
      this.#meanwhile?.set(id, one);
      if (one) this.#known.set(id, one);
      else if (this.#known.delete(id)) gone = true;
    }
    this.#sort();
    return gone;
  }

  #ask(after, limit) {
    const wanted = Object.entries({...this.query, limit, after}).filter(([, text]) => text);
    return call("GET", `${this.path}?${new URLSearchParams(wanted)}`);
  }

  #sort() {
    this.items = [...this.#known.values()].sort(newestFirst);
  }
}

/** By when it happened first; ids of one node's are in that order, those of several cannot be compared. */
function newestFirst(one, other) {
  const [first, second] = [one.first_at ?? one.at, other.first_at ?? other.at];
  if (first !== second) return first < second ? 1 : -1;
  return Number(other.id.split(".").pop()) - Number(one.id.split(".").pop());
}
