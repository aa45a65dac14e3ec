// The exceptions of all servers, live; what is sifted for is kept in the address, so that it can be sent to somebody.
import {busyWhile} from "../actions.js";
import {root} from "../facts.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {setAddress} from "../navigation.js";
import {showProblem} from "../notices.js";
import {eased} from "../painting/eased.js";
import {_} from "../words.js";
import {followClear} from "./clear.js";
import {entry} from "../happenings/entry.js";
import {earlierButton} from "../happenings/earlier.js";
import {Records} from "../happenings/records.js";

const AT_ONCE = 50;
const TYPING_MS = 250;

export function mount(main, feed) {
  feed.want(["servers", "loop", "exceptions"]);
  const list = main.querySelector("#caught");
  const older = main.querySelector("#older");
  const form = main.querySelector("#sift");
  if ("later" in list.dataset) return () => {}; // a page of the past, as it was asked for
  let records = null;
  const show = painted(list);
  const showOlder = painted(older);
  let typing = 0;
  let over = false;

  const paint = eased(list, 250, () => {
    if (!records?.loaded) return;
    show(view());
    showOlder(records.next ? earlierButton(more) : nothing);
    offer(form.elements.server, feed.servers.keys(), records.items.map((one) => one.server));
    offer(form.elements.type, [], records.items.map((one) => one.type));
    clear.update(wanted().server, any());
  });
  const clear = followClear(main.querySelector("#clear"), () => load());
  const sift = () => {
    clearTimeout(typing);
    const {server, type, q} = wanted();
    const query = new URLSearchParams(given({server, type, q}));
    const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
    setAddress(address);
    records = new Records("/exceptions", {server, type, q}, (one) => fits(one, {server, type, q}), AT_ONCE);
    return load();
  };
  const send = (event) => {
    event.preventDefault();
    sift();
  };
  const type = () => {
    clearTimeout(typing);
    typing = setTimeout(sift, TYPING_MS);
  };
  form.addEventListener("submit", send);
  form.addEventListener("change", sift);
  form.addEventListener("input", type);
  const unfollow = feed.follow((changes) => {
    if (!records) return;
    if (changes.snapshot) load();
    else if (changes.exceptions.size && records.take(changes.exceptions, feed.exceptions)) load();
    if (changes.exceptions.size || changes.servers.size) paint();
  });
  sift();
  return () => {
    over = true;
    clearTimeout(typing);
    unfollow();
    paint.end();
    clear.end();
  };

  function wanted() {
    const {server, type: kind, q} = form.elements;
    return {server: server.value, type: kind.value, q: q.value.trim()};
  }

  async function load() {
    const of = records;
    try {
      await of.load();
    } catch (problem) {
      // A server that is not remembered any more has raised nothing that is.
      if (problem.status !== 404) return showProblem(problem);
      of.loaded = true;
    }
    if (of === records && !over) paint.now();
  }

  function more() {
    busyWhile(older.querySelector("button"), records.more().then(paint));
  }

  function view() {
    if (records.items.length) return html`<ol class="catches">${repeat(records.items, (one) => one.id, line)}</ol>`;
    if (any()) return html`<p class="empty">${_("None is like that.")} <a href="${root}/ui/exceptions">${_("Show all")}</a></p>`;
    return html`<div class="empty"><p><b>${_("No exception yet.")}</b> ${_("What a server's code raises is caught here, with its traceback and with what the client had sent.")}</p>
      <p>${_("To see one: start asyncio, open a terminal on it and send boom. Only that client goes; then try the same on asyncio-basic.")}</p></div>`;
  }

  function any() {
    return records.items.length > 0 || feed.exceptions.size > 0;
  }

  function line(one) {
    return entry(one, {server: feed.servers.has(one.server) ? "there" : "gone", there: feed.servers.has(one.server)});
  }
}

const given = (fields) => Object.entries(fields).filter(([, text]) => text);

/** As `Caught.fits` in app/history/exceptions.py. */
function fits(one, {server, type, q}) {
  if ((server && one.server !== server) || (type && one.type !== type)) return false;
  const text = q.toLowerCase();
  return [one.type, one.message, one.peer ?? "", one.input ?? "b''", one.server].some((part) => part.toLowerCase().includes(text));
}

/** What can be chosen grows with what there is; what was chosen stays. */
function offer(select, ...found) {
  const there = new Set([...select.options].map((option) => option.value));
  for (const value of new Set(found.flatMap((values) => [...values]))) if (!there.has(value)) select.add(new Option(value));
}
