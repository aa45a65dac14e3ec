// Bytes as a reader writes them, and as they are shown.
import {_} from "../words.js";

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true});
const ESCAPES = {n: 10, r: 13, t: 9, 0: 0, "\\": 92};
const PARTS = /\\x([0-9a-fA-F]{2})|\\([nrt0\\])|\\x?[^]?|[^\\]+/gu;

export const ENDINGS = {lf: "\n", crlf: "\r\n", none: ""};

export const encode = (text) => encoder.encode(text);

/** The bytes that a line stands for, its escapes resolved. Throws a RangeError that says which escape is none. */
export function bytesOf(line, ending = "") {
  const pieces = [];
  for (const [part, hex, letter] of line.matchAll(PARTS)) {
    if (hex !== undefined) pieces.push([parseInt(hex, 16)]);
    else if (letter !== undefined) pieces.push([ESCAPES[letter]]);
    else if (part.startsWith("\\"))
      throw new RangeError(_("%(escape)s is no escape. Write \\n \\r \\t \\0 \\xNN, or \\\\ for a backslash.", {escape: part}));
    else pieces.push(encoder.encode(part));
  }
  pieces.push(encoder.encode(ending));
  return joined(pieces);
}

/** The text, or null where the bytes are no UTF-8. */
export function textOf(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

export function base64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

// What would act on a terminal, or turn or hide the text around it (UAX 9), and does not break lines or advance; and what
// nobody would see (default ignorable code points, but for the variation selectors, which belong to what is before them).
export const HIDDEN = "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e00ff}\\u{e01f0}-\\u{e0fff}";
const ACTS = new RegExp(`[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f${HIDDEN}]`, "gu");

const SOFT = "\x1b[90m";
const PLAIN = "\x1b[39m";

export const soft = (text) => `${SOFT}${text}${PLAIN}`;

/**
 * Received bytes as text that does nothing to a terminal but to stand there: control characters, and what is no UTF-8, as
 * \xNN in the soft colour. The pictures for control characters (U+2400) are in few fonts, and no test tells a picture from
 * the box that a browser draws in its place: Firefox draws another one for each code point. LF, CR and CR LF each break
 * the line. A character that is cut is kept until its rest comes; `end()` gives what is left of it.
 */
export class Visible {
  #rest = new Uint8Array(0);
  #afterReturn = false;

  read(bytes) {
    let all = bytes;
    if (this.#rest.length) all = joined([this.#rest, bytes]);
    const cut = cutOff(all);
    this.#rest = all.slice(all.length - cut);
    if (cut) all = all.subarray(0, all.length - cut);
    const text = textOf(all);
    return (text === null ? this.#spelled(all) : this.#tamed(text)).replaceAll(PLAIN + SOFT, "");
  }

  end() {
    const left = this.#spelled(this.#rest);
    this.#rest = new Uint8Array(0);
    return left;
  }

  #spelled(bytes) {
    let text = "";
    let run = "";
    for (let at = 0; at < bytes.length; ) {
      const size = sizeAt(bytes, at);
      if (size) {
        run += size === 1 ? String.fromCharCode(bytes[at]) : strict.decode(bytes.subarray(at, at + size));
        at += size;
      } else {
        if (run) text += this.#tamed(run);
        run = "";
        text += soft(spelled(bytes[at]));
        at += 1;
      }
    }
    return run ? text + this.#tamed(run) : text;
  }

  #tamed(text) {
    if (!text) return text;
    const begun = this.#afterReturn && text.startsWith("\n") ? text.slice(1) : text;
    this.#afterReturn = text.endsWith("\r");
    return begun.replace(/\r\n?|\n/g, "\n").replace(ACTS, (character) => soft(escaped(character))).replaceAll("\n", "\r\n");
  }
}

const KEYS = {"\r": "Enter", "\n": "LF", "\t": "Tab", "\x1b": "Esc", "\x7f": "Backspace"};

/** Keys as they were sent, for a person. */
export const keysShown = (text) => KEYS[text] ?? text.slice(0, 24).replace(ACTS, escaped).replaceAll("\t", "\\t");

const spelled = (byte) => `\\x${byte.toString(16).padStart(2, "0")}`;

function escaped(character) {
  const code = character.codePointAt(0);
  if (code < 0x80) return spelled(code);
  return code < 0xa0 ? [...encoder.encode(character)].map(spelled).join("") : `\\u{${code.toString(16)}}`;
}

/** How many bytes at the end are the beginning of a character. */
function cutOff(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    return (byte >= 0xf0 && byte < 0xf5 ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc2 && byte < 0xe0 ? 2 : 0) > back ? back : 0;
  }
  return 0;
}

/** Length of the character that begins here, 0 if none does (RFC 3629, 4). */
function sizeAt(bytes, at) {
  const first = bytes[at];
  if (first < 0x80) return 1;
  const second = bytes[at + 1];
  const follows = (place) => (bytes[place] & 0xc0) === 0x80;
  if (first >= 0xc2 && first < 0xe0) return follows(at + 1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    const right = first === 0xe0 ? second >= 0xa0 : first === 0xed ? second < 0xa0 : true;
    return right && follows(at + 1) && follows(at + 2) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const right = first === 0xf0 ? second >= 0x90 : first === 0xf4 ? second < 0x90 : true;
    return right && follows(at + 1) && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}
