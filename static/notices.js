// Notices above the page: what went wrong, and what was done that can be undone.
import {html, render} from "./painting/lit.js";
import {_} from "./words.js";

const MOST = 4;
const shown = [];
let area;

/** Show a notice; returns the function that takes it away. `undo` is {words, act}. */
export function notice(words, {title = "", trouble = false, undo = null} = {}) {
  const one = {title, words, trouble, undo};
  const same = shown.findIndex((other) => other.words === words && other.title === title);
  if (same >= 0) shown.splice(same, 1);
  shown.push(one);
  if (shown.length > MOST) shown.shift();
  paint();
  return () => dismiss(one);
}

/** What a Problem says; anything else is a bug of the page's, and is thrown on. */
export function showProblem(problem) {
  if (problem.detail === undefined) throw problem;
  return notice(problem.detail, {title: problem.title, trouble: true});
}

function dismiss(one) {
  const place = shown.indexOf(one);
  if (place >= 0) shown.splice(place, 1);
  paint();
}

function paint() {
  if (!area) {
    area = document.createElement("div");
    area.className = "live-notices";
    document.getElementById("notices").append(area);
  }
  render(shown.map((one) => view(one)), area);
}

const view = (one) => html`<div class="notice ${one.trouble ? "trouble" : ""}" role=${one.trouble ? "alert" : "status"}>
  <p>${one.title ? html`<b>${one.title}</b> ` : ""}${one.words}</p>
  ${one.undo
    ? html`<button @click=${() => {
        dismiss(one);
        one.undo.act();
      }}>${one.undo.words}</button>`
    : ""}
  <button class="quiet" @click=${() => dismiss(one)}>${_("Dismiss")}</button>
</div>`;
