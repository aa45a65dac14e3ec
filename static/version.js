// A page that is older than the app: it says so, does no harm with templates that it does not know, and can be loaded
// again with what was typed into it.
import {build} from "./facts.js";
import {notice} from "./notices.js";
import {_} from "./words.js";

const FIELDS = "#main :is(input, textarea, select)[name]";

export function followVersion(feed) {
  feed.addEventListener("status", () => {
    if (feed.status !== "outdated") return;
    notice(_("The app has a newer version than this page: what is shown is as it was. Load it again to go on: what you have typed stays, and terminals connect again."), {
      title: _("An older page."), undo: {words: _("Load it again"), act: loadAgain},
    });
  });
}

/** Whether a page that was fetched is of another version than this one. */
export function isOfAnother(page) {
  const facts = page.getElementById("facts");
  return facts !== null && JSON.parse(facts.textContent).build !== build;
}

async function loadAgain() {
  // Its script is here if the dock is; else the app would be asked for one that it may no longer have.
  const terminals = document.getElementById("terminals").hidden ? [] : (await import("./terminal/terminals.js")).terminals.leave();
  // Part of the history's entry: it lasts through the reload, also in a browser that stores nothing for the page.
  history.replaceState({...history.state, typed: {fields: fields().map(valueOf), terminals}}, "");
  location.reload();
}

/** What was typed before the page was loaded again; terminals connect again, as new clients. */
export async function restoreTyped() {
  const {typed, ...state} = history.state ?? {};
  if (!typed) return;
  history.replaceState(state, "");
  if (typed.terminals.length) {
    const {openTerminal} = await import("./terminal/dock.js");
    for (const {server, ...chosen} of typed.terminals) openTerminal(server, chosen);
  }
  for (const {form, name, value, checked} of typed.fields) {
    const field = fields().find((one) => formOf(one) === form && one.name === name && (checked === undefined || one.value === value));
    if (!field || field.type === "hidden") continue;
    if (checked === undefined) field.value = value;
    else field.checked = checked;
    field.dispatchEvent(new Event("input", {bubbles: true}));
    field.dispatchEvent(new Event("change", {bubbles: true}));
  }
}

const fields = () => [...document.querySelectorAll(FIELDS)].filter((one) => one.type !== "password");
const formOf = (field) => field.form?.getAttribute("action") ?? field.form?.id ?? "";
const valueOf = (field) => ({
  form: formOf(field), name: field.name, value: field.value,
  ...(["checkbox", "radio"].includes(field.type) && {checked: field.checked}),
});
