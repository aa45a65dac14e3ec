// The interface's language, as app/web/words.py has it: English is in the code, other languages in the catalogue.
// Babel finds messages by the names `_` and `n_`: their first arguments must be literals.

import {at} from "./facts.js";

export const language = document.documentElement.lang;

const MARKED = "xx"; // brackets around every message, for tests
const {messages, sentences} = await load();

async function load() {
  if (language === "en" || language === MARKED) return {messages: {}, sentences: []};
  const response = await fetch(at(`/ui/words/${language}`));
  const table = response.ok ? await response.json() : {messages: {}, sentences: []};
  return {...table, sentences: table.sentences.map(([english, other]) => [pattern(english), other])};
}

/** A message in the reader's language; `%(name)s` in it stands for `values.name`. */
export function _(message, values) {
  const found = language === MARKED ? `⟦${message}⟧` : (messages[message] ?? message);
  return values ? fill(found, values) : found;
}

/** The form for this count; `%(n)s` stands for the count, or for `values.n` where it is to be written otherwise. */
export function n_(one, many, count, values) {
  const english = language === "en" || language === MARKED;
  return _(english && count !== 1 ? many : one, {n: count, ...values});
}

/** What the app said (a refusal, an entry of the journal), in the reader's language if the catalogue has it. */
export function translate(sentence) {
  if (language === MARKED) return `⟦${sentence}⟧`;
  for (const [english, other] of sentences) {
    const found = english.exec(sentence);
    if (found) return other.replace(/\{(\d)\}/g, (_whole, place) => translate(found[Number(place) + 1]));
  }
  return sentence;
}

/** `%(name)s` in a message stands for `values.name`. */
export function fill(message, values) {
  return message.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole).replaceAll("%%", "%");
}

function pattern(english) {
  const literals = english.split(/\{\d\}/).map((literal) => literal.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${literals.join("([^]*?)")}$`);
}
