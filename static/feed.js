// What changes in the app, as events (`GET /events`): one stream for the whole page, and the latest state of everything
// it was sent. A hidden page lets go of its stream, since a browser opens only six connections to one host; when it is
// seen again it goes on where it was.

import {topics} from "./facts.js";
import {BEAT_MS, until} from "./painting/beat.js";

const TOGETHER_MS = 20;
const RETRY_MS = 2000;

/** Topics of which there are many things, each known by its `key`; the loop is one. */
const MANY = Object.entries(topics).filter(([, {key}]) => key).map(([topic, {kind, key}]) => ({topic, kind, key}));
const BY_KIND = new Map(MANY.map((one) => [one.kind, one]));

/**
 * `servers`, `connections`, `exceptions`, `journal` are Maps by name or id, `loop` the latest figures of the loop.
 * `status` is "connecting", "live" or "lost".
 */
class Feed extends EventTarget {
  loop = null;
  status = "connecting";
  #query = null;
  #lastEvent = null;
  #source = null;
  #changes = null;
  #flushed = -Infinity;
  #retry = 0;
  #followers = new Set();

  constructor() {
    super();
    for (const {topic} of MANY) this[topic] = new Map();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
  }

  /**
   * Have these topics sent from now on. Where a server is named, its connections, exceptions and journal only; the
   * servers are sent all, since the header counts them. What is no longer sent is forgotten.
   */
  want(topics, server) {
    const narrowed = server && {server, everywhere: "servers"};
    const query = new URLSearchParams({topics: [...topics].sort().join(","), together: "true", ...narrowed}).toString();
    if (query === this.#query) return;
    this.#query = query;
    this.#lastEvent = null;
    this.#close();
    for (const {topic} of MANY) this[topic] = new Map();
    this.#open();
  }

  /**
   * Call `follower(changes)` after each batch of changes, until the function that is returned is called. `changes` has a
   * Set of keys for each topic, `loop` if that changed, and `snapshot` when everything was sent anew.
   */
  follow(follower) {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  #open() {
    if (this.#source || document.hidden || this.#query === null) return;
    clearTimeout(this.#retry);
    const resumed = this.#lastEvent ? `&heard=${this.#lastEvent}` : "";
    const source = (this.#source = new EventSource(`/events?${this.#query}${resumed}`));
    source.onopen = () => this.#setStatus("live");
    source.onerror = () => {
      this.#setStatus("lost");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      this.#close();
      this.#retry = setTimeout(() => this.#open(), RETRY_MS);
    };
    source.addEventListener("snapshot", (event) => this.#take(event, (data) => this.#snapshot(data)));
    source.addEventListener("changes", (event) => this.#take(event, (changes) => changes.forEach(([name, data]) => this.#change(name, data))));
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }

  #take(event, apply) {
    this.#lastEvent = event.lastEventId;
    if (!this.#changes) {
      this.#changes = {loop: false, snapshot: false};
      for (const {topic} of MANY) this.#changes[topic] = new Set();
      // The first after a while at once, but for what is sent together with it; of many, all until the next beat.
      setTimeout(() => this.#flush(), performance.now() - this.#flushed > 2 * BEAT_MS ? TOGETHER_MS : until(BEAT_MS));
    }
    apply(JSON.parse(event.data));
  }

  #change(name, data) {
    if (name === "loop") {
      this.loop = data;
      this.#changes.loop = true;
      return;
    }
    const kind = name.replace("-removed", "");
    const {topic, key} = BY_KIND.get(kind);
    if (name === kind) this[topic].set(data[key], data);
    else this[topic].delete(data[key]);
    this.#changes[topic].add(data[key]);
  }

  #snapshot(data) {
    for (const {topic, key} of MANY) {
      if (!data[topic]) continue;
      const before = this[topic];
      this[topic] = new Map(data[topic].map((item) => [item[key], item]));
      for (const one of [...before.keys(), ...this[topic].keys()]) this.#changes[topic].add(one);
    }
    if (data.loop && !Array.isArray(data.loop)) {
      this.loop = data.loop;
      this.#changes.loop = true;
    }
    this.#changes.snapshot = true;
  }

  #flush() {
    const changes = this.#changes;
    this.#changes = null;
    this.#flushed = performance.now();
    for (const follower of this.#followers) follower(changes);
  }

  #setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    this.dispatchEvent(new Event("status"));
  }
}

export const feed = new Feed();
