// The tasks of the loop and the threads of servers, each with the line where it is. Looked at every two seconds while
// they are in view, a bounded number at a time.
import {root} from "../facts.js";
import {every} from "../painting/beat.js";
import {grouped} from "../figures.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {setAddress} from "../navigation.js";
import {showProblem} from "../notices.js";
import {call} from "../rest.js";
import {eased} from "../painting/eased.js";
import {_, n_} from "../words.js";
import {placeOf} from "./place.js";

const EVERY_MS = 2000;
const AT_ONCE = 100;

export function followTasks(main, feed) {
  const section = main.querySelector("#tasks");
  const sheet = main.querySelector("#task-sheet");
  const count = main.querySelector("#task-count");
  const form = main.querySelector("#sift");
  let items = [];
  let next = null;
  let paged = false;
  let over = false;
  let turn = 0;
  const show = painted(sheet);
  const showMore = painted(main.querySelector("#more-tasks"));

  const look = eased(section, EVERY_MS, () => paged || load());
  const endBeat = every(EVERY_MS, look);
  const choose = () => {
    const query = form.elements.server.value ? `?${new URLSearchParams({server: form.elements.server.value})}` : "";
    setAddress(`${location.pathname}${query}#tasks`);
    paged = false;
    load();
  };
  const send = (event) => event.preventDefault();
  form.addEventListener("change", choose);
  form.addEventListener("submit", send);
  const unfollow = feed.follow((changes) => {
    if (!changes.servers.size) return;
    const there = new Set([...form.elements.server.options].map((option) => option.value));
    for (const name of changes.servers) if (feed.servers.has(name) && !there.has(name)) form.elements.server.add(new Option(name));
  });
  return () => {
    over = true;
    endBeat();
    look.end();
    unfollow();
  };

  async function load(after = null) {
    const mine = ++turn;
    const server = form.elements.server.value;
    const query = Object.entries({server, limit: AT_ONCE, after}).filter(([, text]) => text);
    const found = await call("GET", `/loop/tasks?${new URLSearchParams(query)}`).catch((problem) => problem);
    if (over || mine !== turn) return;
    if (found instanceof Error) {
      if (found.status === 404) paint([], null);
      else if (after) showProblem(found);
      return;
    }
    paint(after ? [...items, ...found.items] : found.items, found.next);
  }

  function paint(found, following) {
    items = found;
    next = following;
    show(view(items));
    count.textContent = next ? _("the first %(n)s", {n: grouped(items.length)}) : n_("%(n)s task", "%(n)s tasks", items.length, {n: grouped(items.length)});
    showMore(next ? html`<button class="small" @click=${onwards}>${_("More")}</button>` : nothing);
  }

  function onwards() {
    paged = true; // what was paged through stays as it was, until another server is chosen
    load(next);
  }
}

const view = (items) => html`<table class="rows of-tasks">
  <thead><tr><th>${_("task")}</th><th>${_("server")}</th><th>${_("where it is")}</th></tr></thead>
  <tbody>${repeat(items, (_task, place) => place, line)}</tbody>
</table>`;

function line({name, server, thread, stack}) {
  const at = placeOf(stack);
  return html`<tr><td translate="no">${name}</td>
    <td translate="no">${server ? html`<a href="${root}/ui/servers/${server}">${server}</a>` : html`<span class="aside">echodeck</span>`}</td>
    <td translate="no">${at ? html`<code>${at.code || at.function}</code> <span class="aside">${at.file.split("/").at(-1)}:${at.line}</span>` : nothing}${thread ? html` <span class="aside" translate="yes">${_("a thread")}</span>` : nothing}</td></tr>`;
}
