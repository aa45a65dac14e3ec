// A traceback in pieces of whole lines; those that are frames of a variant's own file stand out. app/pages/source.py
// does the same for the first paint.
import {html} from "../painting/lit.js";

const OWN = /^ {2}File "[^"]*[\\/]servers[\\/](?!_)[^"\\/]+\.py", line \d+/;

export function frames(traceback) {
  const pieces = [];
  let own = false;
  for (const line of traceback.match(/[^\n]*\n|[^\n]+/g) ?? []) {
    const begins = !line.startsWith("    ");
    const now = begins ? OWN.test(line) : own;
    if (pieces.length && now === own) pieces.at(-1).text += line;
    else pieces.push({own: now, text: line});
    own = now;
  }
  return pieces;
}

export const shown = (traceback) => frames(traceback).map(({own, text}) => html`<span class=${own ? "own" : ""}>${text}</span>`);
