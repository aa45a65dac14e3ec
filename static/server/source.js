// Where the server is in its own source, looked at once a second. Marked by an arrow and by words, so that a learner
// sees all clients wait at one await, or one thread stand in one recv.
import {every} from "../painting/beat.js";
import {grouped} from "../figures.js";
import {html, nothing} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {call} from "../rest.js";
import {_, n_} from "../words.js";

const EVERY_MS = 1000;
const MOST_LINES = 3;

export function followSource(place, feed, name) {
  const code = place.querySelector("#code");
  const showSummary = painted(place.querySelector("#here"));
  const note = place.querySelector("#source-now");
  let marked = [];
  let asking = false;
  let latest = "";
  let over = false;

  const look = async () => {
    if (document.hidden || asking || over) return;
    asking = true;
    const found = await call("GET", `/loop/lines?${new URLSearchParams({server: name})}`).catch(() => null);
    asking = false;
    if (found && !over) show(found);
  };
  const endBeat = every(EVERY_MS, look);
  look();
  return () => {
    over = true;
    endBeat();
  };

  function show({items, seen, of}) {
    const now = JSON.stringify([items, seen, of]);
    if (now === latest) return;
    latest = now;
    const lines = new Map(items.map((item) => [item.line, item]));
    for (const line of marked) if (!lines.has(Number(line.dataset.line))) mark(line, null);
    marked = items.map((item) => code.querySelector(`#L${item.line}`)).filter(Boolean);
    for (const line of marked) mark(line, lines.get(Number(line.dataset.line)));
    note.textContent = seen < of ? _("%(seen)s of its %(all)s tasks were looked at", {seen: grouped(seen), all: grouped(of)}) : _("with where it is now");
    showSummary(summary(items));
  }

  function summary(items) {
    if (!items.length) return html`<span class="aside">${_("Nothing of it runs.")}</span>`;
    const most = [...items].sort((one, other) => sum(other) - sum(one)).slice(0, MOST_LINES).sort((one, other) => one.line - other.line);
    return html`<span class="aside">${_("Now")}</span> ${most.map((item) => html`<span class="at-line"><a href="#L${item.line}"><span class="aside">${_("line %(n)s", {n: item.line})}</span> <code translate="no">${code.querySelector(`#L${item.line} code`)?.textContent.trim()}</code></a> <span class="aside">${words(item)}</span></span>`)}${items.length > MOST_LINES ? html`<a class="aside" href="#source">${_("and elsewhere")}</a>` : nothing}`;
  }

  function mark(line, item) {
    line.classList.toggle("is-here", item !== null);
    const text = item ? words(item) : "";
    const at = line.querySelector(".at");
    if (at.textContent !== text) at.textContent = text;
  }
}

const sum = ({tasks, threads}) => tasks + threads;

const words = ({tasks, threads}) =>
  threads ? n_("one thread is here", "%(n)s threads are here", threads, {n: grouped(threads)}) : n_("one task waits here", "%(n)s tasks wait here", tasks, {n: grouped(tasks)});
