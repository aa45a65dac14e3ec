// What a screen reader is told of the servers: each thing once.
import {states} from "./facts.js";
import {_, n_} from "./words.js";

const TOGETHER_MS = 300;
const MOST_TOLD = 3;
const KEPT_MS = 6000;

const toldOtherwise = new Set();

/** A notice says this of the server already. */
export const isTold = (name) => toldOtherwise.add(name);

/** Which server began to run, ended, or went: in a region that is read aloud. */
export function sayOfServers(feed) {
  const region = document.getElementById("said");
  const before = new Map(); // their states
  let waits = 0, emptied = 0;
  const due = new Map();
  feed.follow((changes) => {
    for (const name of changes.servers) {
      const was = before.get(name), state = feed.servers.get(name)?.state;
      if (state === was) continue;
      if (state === undefined) before.delete(name);
      else before.set(name, state);
      if (changes.snapshot) continue; // it says how things are, and not that they have become so
      if (state === undefined) due.set(name, _("%(name)s was removed.", {name}));
      else if (state === "running" || states[state].rests) due.set(name, `${name}: ${states[state].words}.`);
    }
    if (due.size && !waits) waits = setTimeout(say, TOGETHER_MS);
  });

  function say() {
    waits = 0;
    for (const name of toldOtherwise) due.delete(name);
    toldOtherwise.clear();
    if (!due.size) return;
    region.textContent = due.size > MOST_TOLD ? n_("One server has changed.", "%(n)s servers have changed.", due.size) : [...due.values()].join(" ");
    due.clear();
    clearTimeout(emptied);
    emptied = setTimeout(() => { region.textContent = ""; }, KEPT_MS); // else it is met again by whoever reads on
  }
}
