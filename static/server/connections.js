// The table of the connections: sorted, sifted, windowed. Figures change as they come; the order holds while somebody
// points at a row or is in it with the keyboard, so that nothing moves away under a finger.
import {busyWhile} from "../actions.js";
import {every} from "../painting/beat.js";
import {connectionStates, states} from "../facts.js";
import {grouped} from "../figures.js";
import {cell, columnsOf} from "../painting/cells.js";
import {html, ifDefined, nothing, render, repeat} from "../painting/lit.js";
import {painted, takenOver} from "../painting/painted.js";
import {address} from "../rooms/row.js";
import {notice} from "../notices.js";
import {call} from "../rest.js";
import {_, n_} from "../words.js";
import {eased} from "../painting/eased.js";
import {openTap} from "./tap.js";
import {seenOf} from "../painting/windowed.js";

const ROW = 34; // px, as .sheet tbody tr has it
const GAP_MS = 500;
const ORDER_MS = 1500;
const ANCHOR = "#connection-";
const numberOf = ({id}) => Number(id.slice(id.indexOf("-") + 1));

/** What a column is sorted by, by the name of its `sort`. */
const KEYS = {
  text: ({key}) => (row) => row[key],
  number: ({key}) => (row) => row[key] ?? -1,
  time: ({key}) => (row) => -Date.parse(row[key]),
  serial: () => numberOf,
};

export function followConnections(place, feed, name) {
  const sheet = place.querySelector("#sheet");
  const count = place.querySelector("#connections-count");
  const mayChange = !("viewer" in place.closest("main").dataset);
  const wanted = {text: "", state: ""};
  const sort = {key: "id", down: false};
  const seenAt = new Map(); // by id: when its figures came, since idle goes on from there
  const tap = openTap(place.querySelector("#tap"));
  const sift = followSift(place.querySelector("#sift"), wanted, () => anew());
  let order = [];
  let orderedAt = -Infinity;
  let stale = true;
  let mine = new Set();
  const columns = columnsOf(sheet);
  const showSheet = painted(sheet);

  const paint = eased(sheet, GAP_MS, () => {
    if (!feed.told) return;
    if (stale) arrange();
    show();
    count.textContent = counted(feed, name, order.length);
  });
  const scroll = () => requestAnimationFrame(() => takenOver.has(sheet) && show());
  const anew = () => {
    orderedAt = -Infinity;
    stale = true;
    paint.now();
  };
  const seek = () => {
    if (!location.hash.startsWith(ANCHOR)) return;
    sift.set(decodeURIComponent(location.hash.slice(ANCHOR.length)));
    place.querySelector("#connections").scrollIntoView();
  };
  const point = (event) => {
    const link = event.target.closest?.(`a[href*="${ANCHOR}"]`);
    if (link && link.pathname === location.pathname) setTimeout(seek);
  };
  const stopTerminals = followTerminals((theirs) => {
    mine = theirs;
    paint();
  });
  sheet.addEventListener("scroll", scroll, {passive: true});
  place.addEventListener("click", point);
  addEventListener("hashchange", seek);
  const resized = new ResizeObserver(scroll);
  resized.observe(sheet);
  const unfollow = feed.follow((changes) => {
    if (!changes.connections.size && !changes.snapshot) return;
    const now = performance.now();
    for (const id of changes.connections) feed.connections.has(id) ? seenAt.set(id, now) : seenAt.delete(id);
    stale = true;
    paint();
  });
  const endBeat = every(1000, () => paint()); // idle times grow though nothing is sent
  seek();
  return () => {
    endBeat();
    unfollow();
    stopTerminals();
    tap.close();
    paint.end();
    resized.disconnect();
    removeEventListener("hashchange", seek);
    place.removeEventListener("click", point);
  };

  function arrange() {
    stale = false;
    const now = performance.now();
    const held = sheet.matches(":hover") || sheet.contains(document.activeElement);
    if (now - orderedAt < ORDER_MS || (held && orderedAt > 0)) {
      const known = new Set(order);
      order = order.filter((id) => fits(feed.connections.get(id), wanted));
      for (const [id, row] of feed.connections) if (!known.has(id) && fits(row, wanted)) order.push(id);
      return;
    }
    orderedAt = now;
    const column = columns.find(({key}) => key === sort.key);
    const by = KEYS[column.sort](column);
    const rows = [...feed.connections.values()].filter((row) => fits(row, wanted));
    const keys = new Map(rows.map((row) => [row, by(row)]));
    const turn = sort.down ? -1 : 1;
    rows.sort((one, other) => turn * compare(keys.get(one), keys.get(other)) || numberOf(one) - numberOf(other));
    order = rows.map((row) => row.id);
  }

  function show() {
    const seen = seenOf(sheet, order.length, ROW);
    const rows = order.slice(seen.first, seen.end).map((id, place) => ({row: feed.connections.get(id), index: seen.first + place + 2}));
    showSheet(view(rows.filter(({row}) => row), seen));
  }

  function view(rows, seen) {
    return html`<table class="rows" aria-rowcount=${order.length + 1} aria-label=${_("Connections")}>
      <thead><tr aria-rowindex="1">${columns.map(heading)}<th class="c-do scripted"><span class="unseen">${_("actions")}</span></th></tr></thead>
      <tbody>
        ${seen.above ? html`<tr class="left-out" aria-hidden="true"><td colspan=${columns.length + 1} .style=${`height:${seen.above}px`}></td></tr>` : nothing}
        ${repeat(rows, ({row}) => row.id, line)}
        ${seen.below ? html`<tr class="left-out" aria-hidden="true"><td colspan=${columns.length + 1} .style=${`height:${seen.below}px`}></td></tr>` : nothing}
      </tbody>
    </table>
    ${order.length ? nothing : empty()}`;
  }

  function empty() {
    if (wanted.text || wanted.state) return html`<p class="nobody">${_("None is like that; it may have ended.")} <button class="small" @click=${() => sift.set("")}>${_("Show all")}</button></p>`;
    const server = feed.servers.get(name);
    const runs = server && !states[server.state].rests;
    return html`<p class="nobody">${runs ? _("Nobody is connected. Open a terminal above, or connect any TCP client to %(address)s.", {address: address(server)}) : _("Nobody can connect: it does not run.")}</p>`;
  }

  function heading({key, cell, sort: by, words, kind}) {
    const sorted = sort.key === key;
    return html`<th class=${ifDefined(kind || undefined)} data-key=${key} data-cell=${cell} data-sort=${by} aria-sort=${sorted ? (sort.down ? "descending" : "ascending") : "none"}><button @click=${() => sortBy(key)}>${words}<span class="scripted" aria-hidden="true">${sorted ? (sort.down ? " ↓" : " ↑") : ""}</span></button></th>`;
  }

  function sortBy(key) {
    // Figures are looked at for who has most of them: largest first.
    const first = !["text", "serial"].includes(columns.find((column) => column.key === key).sort);
    sort.down = sort.key === key ? !sort.down : first;
    sort.key = key;
    sheet.scrollTop = 0;
    anew();
  }

  function line({row, index}) {
    const yours = mine.has(row.id) || mine.has(row.peer);
    return html`<tr id="connection-${row.id}" aria-rowindex=${index} class="is-${row.state}${yours ? " is-yours" : ""}">
      ${columns.map((column) => cell(column, valueOf(row, column.key), yours && column.key === "peer" ? html` <span class="yours scripted" translate="yes">${_("your terminal")}</span>` : ""))}
      <td class="c-do scripted"><button class="small" @click=${() => watch(row)}>${_("Tap")}<span class="unseen" translate="no"> ${row.peer}</span></button>
        ${mayChange ? html`<button class="small" @click=${(event) => hangUp(event.currentTarget, row)}>${_("Hang up")}<span class="unseen" translate="no"> ${row.peer}</span></button>` : nothing}</td>
    </tr>`;
  }

  /** Idle times go on from when they were last sent. */
  function valueOf(row, key) {
    if (key !== "idle" || row.idle === null) return row[key];
    const now = performance.now();
    return row.idle + (now - (seenAt.get(row.id) ?? now)) / 1000;
  }

  function watch(row) {
    if (row.state === "waiting") notice(_("This client waits in the accept queue: the server has read nothing of it yet, so there is nothing to see."));
    else tap.open(row);
  }

  async function hangUp(button, row) {
    await busyWhile(button, call("DELETE", `/connections/${row.id}`));
    if (!document.contains(button)) sheet.focus({preventScroll: true});
  }
}

const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function fits(row, {text, state}) {
  return row && (!state || row.state === state) && (!text || row.id === text || row.peer.includes(text));
}

function counted(feed, name, shown) {
  const all = feed.connections.size;
  const {open = 0, waiting = 0} = feed.servers.get(name)?.connections ?? {};
  if (shown < all) return _("%(n)s of %(all)s", {n: grouped(shown), all: grouped(all)});
  if (all < open + waiting - 50) return _("the first %(n)s of %(all)s", {n: grouped(all), all: grouped(open + waiting)});
  return n_("%(n)s connection", "%(n)s connections", all, {n: grouped(all)});
}

function followSift(form, wanted, changed) {
  form.hidden = false;
  const view = () => html`<label><span class="unseen">${_("Find a connection")}</span><input type="search" .value=${wanted.text} size="24" placeholder=${_("address or id")} @input=${(event) => {
      wanted.text = event.target.value.trim();
      changed();
    }} /></label>
    <label><span class="unseen">${_("State")}</span><select @change=${(event) => {
      wanted.state = event.target.value;
      changed();
    }}><option value="">${_("every state")}</option>${Object.entries(connectionStates).map(([state, words]) => html`<option value=${state} ?selected=${state === wanted.state}>${words}</option>`)}</select></label>`;
  form.addEventListener("submit", (event) => event.preventDefault());
  render(view(), form);
  return {
    set(text) {
      wanted.text = text;
      wanted.state = "";
      form.querySelector("select").value = "";
      render(view(), form);
      form.querySelector("input").value = text;
      changed();
    },
  };
}

/** The connections that this page's own terminals have, by id or by the address that the server sees. */
function followTerminals(changed) {
  let end = () => {};
  let over = false;
  import("../terminal/terminals.js").then(({terminals}) => {
    if (over || !terminals?.addEventListener) return;
    const look = () => changed(new Set(terminals.list.flatMap((one) => [one.connection, one.local].filter(Boolean))));
    terminals.addEventListener("change", look);
    end = () => terminals.removeEventListener("change", look);
    look();
  }, () => {});
  return () => {
    over = true;
    end();
  };
}
