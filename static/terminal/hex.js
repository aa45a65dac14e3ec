// The same bytes as a classic dump: the direction, the offset in it, sixteen bytes, their characters. Each piece that was
// sent or came begins a line. Ordinary text, so that it can be selected, searched and scrolled with the keys.

const MOST_BYTES = 65_536;
const PAINT_MS = 100;

export class Hex {
  #place;
  #waiting = [];
  #waitingBytes = 0;
  #blocks = []; // {element, size}
  #shown = 0;
  #timer = 0;

  constructor(place, entries) {
    this.#place = place;
    for (const entry of entries) this.add(entry);
    this.#paint();
    place.scrollTop = place.scrollHeight;
  }

  add({dir, bytes, offset}) {
    if (!bytes?.length) return;
    const skipped = Math.max(0, bytes.length - MOST_BYTES);
    this.#waiting.push({dir, bytes: bytes.subarray(skipped), offset: offset + skipped});
    this.#waitingBytes += bytes.length - skipped;
    while (this.#waitingBytes - this.#waiting[0].bytes.length >= MOST_BYTES) this.#waitingBytes -= this.#waiting.shift().bytes.length;
    if (!this.#timer) this.#timer = setTimeout(() => this.#paint(), PAINT_MS);
  }

  dispose() {
    clearTimeout(this.#timer);
    this.#timer = -1;
    this.#place.replaceChildren();
  }

  #paint() {
    this.#timer = 0;
    if (!this.#waiting.length) return;
    const place = this.#place;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 8;
    const painted = document.createDocumentFragment();
    for (const {dir, bytes, offset} of this.#waiting) {
      const element = document.createElement("div");
      element.className = dir === "out" ? "sent" : "received";
      element.textContent = dump(dir === "out" ? ">" : "<", bytes, offset);
      painted.append(element);
      this.#blocks.push({element, size: bytes.length});
      this.#shown += bytes.length;
    }
    this.#waiting = [];
    this.#waitingBytes = 0;
    place.append(painted);
    while (this.#shown - this.#blocks[0].size >= MOST_BYTES || this.#blocks.length > MOST_BYTES / 16) {
      const {element, size} = this.#blocks.shift();
      element.remove();
      this.#shown -= size;
    }
    if (atEnd) place.scrollTop = place.scrollHeight;
  }
}

const PAIRS = Array.from({length: 256}, (_nothing, byte) => byte.toString(16).padStart(2, "0"));

/** Lines, each with its end. */
export function dump(mark, bytes, offset) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 16) {
    let pairs = "";
    let characters = "";
    for (let place = at; place < at + 16; place++) {
      const byte = bytes[place];
      pairs += byte === undefined ? "   " : `${PAIRS[byte]} `;
      if (place === at + 7) pairs += " ";
      if (byte !== undefined) characters += byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".";
    }
    text += `${mark} ${(offset + at).toString(16).padStart(8, "0")}  ${pairs} ${characters}\n`;
  }
  return text;
}
