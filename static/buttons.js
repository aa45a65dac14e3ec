// What buttons and forms do, on whatever page they stand: calls of REST in the place of the forms' own round trips.
import {act, busyWhile} from "./actions.js";
import {attempt} from "./parts.js";
import {call} from "./rest.js";
import {_} from "./words.js";

export function followButtons() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("form.actions")) {
      event.preventDefault();
      busyWhile(event.submitter, act(form.dataset.server, event.submitter.dataset.action));
    } else if (form.matches("form[data-start]")) {
      event.preventDefault();
      busyWhile(event.submitter, call("POST", "/servers", {variant: form.dataset.start, port: 0}));
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-walk], [data-terminal]");
    if (!button || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    if ("walk" in button.dataset) attempt(_("Guided walk"), async () => (await import("./walk/walk.js")).takeWalk());
    else attempt(_("Terminals"), async () => (await import("./terminal/dock.js")).openTerminal(button.dataset.terminal));
  });
}
