// A cell of a table, by the name of its kind in app/pages/columns.py; templates/cells.html writes the same.
import {connectionStates} from "../facts.js";
import {idle, roundTrip, size, sizeOrNothing} from "../figures.js";
import {html, ifDefined} from "./lit.js";

/** Each makes the content of a cell of a value. */
const CELLS = {
  text: (value) => value,
  connection_state: (value) => html`<i class="sign" aria-hidden="true"></i>${connectionStates[value]}`,
  span: (value) => html`<time datetime=${value} data-since></time>`,
  size,
  size_or_nothing: sizeOrNothing,
  idle,
  round_trip: roundTrip,
};

/** The columns of a table, as its headings tell: `key`, `cell`, `sort`, `kind` and `words`. */
export function columnsOf(table) {
  return [...table.querySelectorAll("th[data-key]")].map((heading) => ({...heading.dataset, kind: heading.className, words: heading.textContent}));
}

/** `more` stands behind the value. */
export function cell({cell: name, kind}, value, more = "") {
  return html`<td class=${ifDefined(kind || undefined)} translate=${ifDefined(name === "text" ? "no" : undefined)}>${CELLS[name](value)}${more}</td>`;
}
