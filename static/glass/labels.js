// The picture's labels: measured as the browser will draw them, shortened to the room that they have, never on one another.
// A line that would run through one has a gap there.
import {escaped} from "./wording.js";

const BAND = 16; // pixels: boxes are looked for by the bands that they touch
const AROUND = 0.5; // pixels that are left free about a label
const SHORTEST = 6; // pixels of a line that still show one
const MOST_MEASURED = 5000;
const TOGETHER = /(?<=[\p{L}×]) (?=\d)| (?=[·×]|[µm]?s\b|[kM]?B\b)/gu;
const PLAIN = "Ág", OTHER = "日→⊣";
const pens = new Map();

/** The font of a class: pixels above and below its baseline, from line to line, and what measures with it. */
export function penOf(kind) {
  let pen = pens.get(kind);
  if (!pen) {
    pen = {context: document.createElement("canvas").getContext("2d"), widths: new Map()};
    const probe = document.createElement("div");
    probe.innerHTML = `<svg class="calls-picture" width="1" height="1">${[PLAIN, OTHER].map((words) => `<text class="${kind}">${words}</text>`).join("")}</svg>`;
    Object.assign(probe.style, {position: "absolute", visibility: "hidden"});
    document.body.append(probe);
    const style = getComputedStyle(probe.querySelector("text"));
    pen.context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    // Asked of the browser, as each has its own notion of how high a text is, and another font for what this one lacks.
    const zero = probe.firstElementChild.getBoundingClientRect().top;
    const [plain, other] = [...probe.querySelectorAll("text")].map((text) => text.getBoundingClientRect());
    pen.up = zero - Math.min(plain.top, other.top);
    pen.down = Math.max(plain.bottom, other.bottom) - zero;
    pen.line = Math.ceil(pen.up + pen.down);
    probe.remove();
    pens.set(kind, pen);
  }
  return pen;
}

/** In pixels; `kind` is the class that has the font. */
export function widthOf(words, kind) {
  const {context, widths} = penOf(kind);
  let width = widths.get(words);
  if (width === undefined) {
    if (widths.size > MOST_MEASURED) widths.clear();
    width = context.measureText(words).width;
    widths.set(words, width);
  }
  return width;
}

/** As much of it as `most` pixels hold, with an ellipsis where that is not all; "" where not even that has room. */
export function shortened(words, most, kind) {
  if (widthOf(words, kind) <= most) return words;
  const chars = [...words];
  let fits = -1;
  for (let low = 0, high = chars.length - 1; low <= high;) {
    const middle = (low + high) >> 1;
    if (widthOf(`${chars.slice(0, middle).join("")}…`, kind) <= most) [fits, low] = [middle, middle + 1];
    else high = middle - 1;
  }
  return fits < 0 ? "" : `${chars.slice(0, fits).join("").trimEnd()}…`;
}

/** On up to `lines` lines, broken between words, never between a number and what it counts; the last is shortened. */
function wrapped(words, most, kind, lines) {
  const out = [];
  let rest = lines > 1 ? words.replace(TOGETHER, "\u00a0") : words;
  while (out.length < lines - 1 && widthOf(rest, kind) > most) {
    let end = rest.length;
    while (end > 0 && widthOf(rest.slice(0, end), kind) > most) end = rest.lastIndexOf(" ", end - 1);
    if (end <= 0) break;
    out.push(rest.slice(0, end));
    rest = rest.slice(end + 1);
  }
  return [...out, shortened(rest, most, kind)];
}

export class Labels {
  constructor() {
    this.drawn = [];
    this._bands = new Map();
  }

  /**
   * Place a label with its first baseline at `y`; false where another one lies there, or it has no room at all. `does`
   * are more classes. What is not shown whole has the rest on hover.
   */
  put(x, y, words, kind, {most = Infinity, lines = 1, anchor = "start", does = "", upright = false, whole = words} = {}) {
    const {up, down, line} = penOf(kind);
    const shown = wrapped(words, most, kind, lines);
    if (!shown.every(Boolean)) return false;
    const width = Math.max(...shown.map((one) => widthOf(one, kind)));
    const left = x - width * {start: 0, middle: 0.5, end: 1}[anchor];
    const box = upright
      ? {left: x - up, right: x + down, top: y - width, bottom: y}
      : {left, right: left + width, top: y - up, bottom: y + (shown.length - 1) * line + down};
    if (this._touched(box).some((other) => other.left < box.right + 2 && other.right + 2 > box.left && other.top < box.bottom && other.bottom > box.top)) return false;
    for (let band = Math.floor(box.top / BAND); band <= Math.floor(box.bottom / BAND); band += 1) {
      if (!this._bands.has(band)) this._bands.set(band, []);
      this._bands.get(band).push(box);
    }
    const cut = shown.join(" ").replaceAll("\u00a0", " ") !== whole;
    const more = cut ? ` data-whole="${escaped(whole)}"` : "";
    for (const [index, one] of shown.entries()) {
      const at = [x.toFixed(1), (y + index * line).toFixed(1)];
      const turn = upright ? ` transform="rotate(-90 ${at.join(" ")})"` : "";
      this.drawn.push(`<text x="${at[0]}" y="${at[1]}" class="${kind}${does && ` ${does}`}" text-anchor="${anchor}"${turn}${more}>${escaped(one)}${cut ? `<title>${escaped(whole)}</title>` : ""}</text>`);
    }
    return true;
  }

  /** The path of a level line from `x1` to `x2`, without what lies under labels. */
  line(x1, x2, y) {
    const over = this._touched({top: y, bottom: y}).filter((box) => box.top - AROUND < y && box.bottom + AROUND > y);
    over.sort((a, b) => a.left - b.left);
    let parts = [];
    let at = Math.min(x1, x2);
    const end = Math.max(x1, x2);
    for (const box of over) {
      if (box.right < at || box.left > end) continue;
      parts.push([at, box.left - 2]);
      at = box.right + 2;
    }
    parts.push([at, end]);
    parts = parts.filter(([from, to]) => to - from >= SHORTEST || (!over.length && to > from));
    if (x2 < x1) parts = parts.reverse().map(([from, to]) => [to, from]);
    return parts.map(([from, to]) => `M${from.toFixed(1)} ${y.toFixed(1)}H${to.toFixed(1)}`).join("");
  }

  _touched({top, bottom}) {
    const found = new Set();
    for (let band = Math.floor((top - AROUND) / BAND); band <= Math.floor((bottom + AROUND) / BAND); band += 1) {
      for (const box of this._bands.get(band) ?? []) found.add(box);
    }
    return [...found];
  }
}
