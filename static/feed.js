// What changes in the app, as events (`/events`): one stream for the whole page, and the latest state of everything it
// was sent. A hidden page lets go of its stream; when it is seen again it goes on where it was.

import {set as setClock} from "./clock.js";
import {build, topics} from "./facts.js";
import {BEAT_MS, until} from "./painting/beat.js";
import {openStream} from "./stream.js";

const TOGETHER_MS = 20;
const RETRY_MS = 1000;
const SILENT_MS = 12_000; // without a beat, of which there is one every five seconds
const GIVEN_UP_MS = 30_000; // then a new stream may find a way that this one has lost, or never had

/** Topics of which there are many things, each known by its `key`; the loop is one. */
const MANY = Object.entries(topics).filter(([, {key}]) => key).map(([topic, {kind, key}]) => ({topic, kind, key}));
const BY_KIND = new Map(MANY.map((one) => [one.kind, one]));

/**
 * `servers`, `connections`, `exceptions`, `journal` are Maps by name or id, `loop` the latest figures of the loop.
 * `status` is "connecting", "held" (for long), "live", "silent" (connected, but nothing comes), "lost" or "outdated"; `heardAt` is when the latest word came,
 * in ms of `performance.now()`. Until it has `told` what is wanted, empty Maps say nothing, and what the template painted stays.
 */
class Feed extends EventTarget {
  loop = null;
  status = "connecting";
  told = false;
  heardAt = performance.now();
  #query = null;
  #lastEvent = null;
  #stream = null;
  #openedAt = 0;
  #changes = null;
  #flushed = -Infinity;
  #retry = 0;
  #followers = new Set();

  constructor() {
    super();
    for (const {topic} of MANY) this[topic] = new Map();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.#open()));
    setInterval(() => this.#listen(), 1000);
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
    this.told = false;
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

  /** The app was started again with other pages and scripts: what it tells now may mean something else. */
  #setOutdated() {
    this.#close();
    this.#setStatus("outdated");
  }

  #open() {
    if (this.#stream || document.hidden || this.#query === null || this.status === "outdated") return;
    if (this.status === "connecting") this.heardAt = performance.now();
    clearTimeout(this.#retry);
    this.#openedAt = performance.now();
    const resumed = this.#lastEvent ? `&heard=${this.#lastEvent}` : "";
    this.#stream = openStream(`/events?${this.#query}${resumed}`, {
      heard: (name, data, id) => {
        if (name === "beat" && data.build !== build) {
          this.#setOutdated();
          return;
        }
        this.#hear();
        if (name === "beat") setClock(data.at);
        else if (name === "snapshot") this.#take(id, () => this.#snapshot(data));
        else if (name === "changes") this.#take(id, () => data.forEach(([kind, one]) => this.#change(kind, one)));
      },
      ended: () => {
        this.#setStatus("lost");
        this.#again();
      },
    });
  }

  /** Nobody looks. That it is live again is news then, also to those for whom it was live when it was hidden. */
  #rest() {
    this.#close();
    if (this.status !== "outdated") this.#setStatus("connecting");
  }

  #close() {
    clearTimeout(this.#retry);
    this.#stream?.();
    this.#stream = null;
  }

  #again() {
    this.#close();
    // Many tabs must not come back in the same moment.
    this.#retry = setTimeout(() => this.#open(), RETRY_MS * (1 + Math.random()));
  }

  #hear() {
    this.heardAt = performance.now();
    this.#setStatus("live");
  }

  #listen() {
    if (!this.#stream) return;
    const now = performance.now();
    const silent = now - this.heardAt;
    if (silent > SILENT_MS && this.status === "live") this.#setStatus("silent");
    if (silent > SILENT_MS && this.status === "connecting") this.#setStatus("held");
    if (silent > GIVEN_UP_MS && now - this.#openedAt > GIVEN_UP_MS) this.#again();
  }

  #take(id, apply) {
    this.#lastEvent = id;
    if (!this.#changes) {
      this.#changes = {loop: false, snapshot: false};
      for (const {topic} of MANY) this.#changes[topic] = new Set();
      // The first after a while at once, but for what is sent together with it; of many, all until the next beat.
      setTimeout(() => this.#flush(), performance.now() - this.#flushed > 2 * BEAT_MS ? TOGETHER_MS : until(BEAT_MS));
    }
    apply();
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
    this.told = true;
  }

  #flush() {
    const changes = this.#changes;
    this.#changes = null;
    this.#flushed = performance.now();
    if (!this.told) return; // they are of what was wanted before
    for (const follower of this.#followers) {
      try {
        follower(changes);
      } catch (failure) {
        reportError(failure); // the others are not to miss it
      }
    }
  }

  #setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    this.dispatchEvent(new Event("status"));
  }
}

export const feed = new Feed();
