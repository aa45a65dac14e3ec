// Everything that happened in a terminal since it was opened: what the screen and the hex view are painted from, and what
// is downloaded as JSON lines. Only the latest part is kept; the download says what was cut.
import {now} from "../clock.js";
import {base64, textOf} from "./bytes.js";

export const MOST_BYTES = 524_288;
const MOST_ENTRIES = 10_000;
const SLACK = 1.25; // cut now and then, not at each entry

/** An entry: `at`, `dir` ("in", "out", "event"), `bytes` and their `offset` in their direction, or `what` of an event. */
export class Log {
  entries = [];
  cut = {entries: 0, bytes: 0};
  #kept = 0;
  #offsets = {in: 0, out: 0};

  add(dir, content) {
    const entry = {at: now(), dir, ...content};
    if (entry.bytes) {
      entry.offset = this.#offsets[dir];
      this.#offsets[dir] += entry.bytes.length;
      this.#kept += entry.bytes.length;
    }
    this.entries.push(entry);
    if (this.#kept > MOST_BYTES * SLACK || this.entries.length > MOST_ENTRIES * SLACK) this.#shorten();
    return entry;
  }

  /** The latest entries, with about `most` bytes. */
  latest(most) {
    let sum = 0;
    let first = this.entries.length;
    while (first && sum < most) sum += this.entries[--first].bytes?.length ?? 0;
    return this.entries.slice(first);
  }

  /** The lines of the download. */
  *lines() {
    if (this.cut.entries)
      yield line({
        at: new Date(this.entries[0]?.at ?? now()).toISOString(),
        dir: "event",
        text: "cut",
        cut_entries: this.cut.entries,
        cut_bytes: this.cut.bytes,
      });
    for (const {at, dir, bytes, offset, what, ...more} of this.entries) {
      const when = {at: new Date(at).toISOString(), dir};
      if (!bytes) yield line({...when, text: what, ...more});
      else {
        const text = textOf(bytes);
        yield line({...when, ...(text === null ? {base64: base64(bytes)} : {text}), offset});
      }
    }
  }

  #shorten() {
    let first = 0;
    while (first < this.entries.length - 1 && (this.#kept > MOST_BYTES || this.entries.length - first > MOST_ENTRIES)) {
      const size = this.entries[first].bytes?.length ?? 0;
      this.#kept -= size;
      this.cut.bytes += size;
      first += 1;
    }
    this.cut.entries += first;
    this.entries.splice(0, first);
  }
}

const line = (entry) => `${JSON.stringify(entry)}\n`;
