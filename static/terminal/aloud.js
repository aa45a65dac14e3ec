// What came, for screen readers: a live region of its own with the latest lines as text. The emulator's own mode for
// screen readers doubles every row of the screen; this costs a few lines a second, however much comes.
import {n_} from "../words.js";

const MOST_LINES = 5;
const MOST_KEPT = 20;
const EVERY_MS = 700;
const MOST_BYTES = 2048;
const decoder = new TextDecoder();

export class Aloud {
  #place;
  #lines = [];
  #skipped = 0;
  #timer = 0;

  constructor(place) {
    this.#place = place;
  }

  received(bytes) {
    const text = decoder.decode(bytes.subarray(-MOST_BYTES)).replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]+/g, " ");
    this.#lines.push(...text.split("\n").filter((line) => line.trim()));
    const over = this.#lines.length - MOST_LINES;
    if (over > 0) {
      this.#lines.splice(0, over);
      this.#skipped += over;
    }
    if (!this.#timer) this.#timer = setTimeout(() => this.#announce(), EVERY_MS);
  }

  dispose() {
    clearTimeout(this.#timer);
    this.#timer = -1;
  }

  #announce() {
    this.#timer = 0;
    if (this.#skipped) this.#lines.unshift(n_("%(n)s line before", "%(n)s lines before", this.#skipped));
    for (const line of this.#lines) {
      const paragraph = document.createElement("p");
      paragraph.textContent = line.slice(0, 500);
      this.#place.append(paragraph);
    }
    this.#lines = [];
    this.#skipped = 0;
    while (this.#place.childElementCount > MOST_KEPT) this.#place.firstElementChild.remove();
  }
}
