// The lines sent to each server, stored while the tab lives, and walked through with the arrow keys.
import {tabStore} from "../storage.js";

const MOST = 100;
const key = (server) => `echodeck-history:${server}`;

export class History {
  #server;
  #place = null; // from the latest back; null while the reader writes something new
  #draft = "";

  constructor(server) {
    this.#server = server;
  }

  add(line) {
    this.#place = null;
    if (!line) return;
    const lines = this.#lines();
    if (lines.at(-1) === line) return;
    lines.push(line);
    tabStore.set(key(this.#server), lines.slice(-MOST));
  }

  /** The line before the one that is shown; `draft` is what the reader has written so far. */
  older(draft) {
    const lines = this.#lines();
    if (this.#place === null) this.#draft = draft;
    this.#place = Math.min((this.#place ?? -1) + 1, lines.length - 1);
    return this.#shown(lines);
  }

  newer(draft) {
    if (this.#place === null) return draft;
    this.#place -= 1;
    return this.#shown(this.#lines());
  }

  #shown(lines) {
    if (this.#place < 0) this.#place = null;
    return this.#place === null ? this.#draft : lines.at(-1 - this.#place);
  }

  #lines() {
    const lines = tabStore.get(key(this.#server));
    return Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [];
  }
}
