// The door, large: outside the queue in which clients wait for accept, the next one at the door; inside those who are
// served. The kernel does not tell the order of its queue: who was seen first is taken to stand first.
import {grouped, size, tellTimes} from "../figures.js";
import {html, nothing, render, repeat} from "../lit.js";
import {_} from "../words.js";
import {eased} from "./eased.js";

const MOST_DRAWN = 40;
const MOST_NAMED = 8;
const MOST_DOTS = 400;
const GAP_MS = 250;

export function followDoorway(place, feed, name) {
  const door = place.querySelector("#door");
  let ours = false;
  const paint = eased(door, GAP_MS, () => {
    const server = feed.servers.get(name);
    if (!server) return;
    if (!ours) door.replaceChildren();
    ours = true;
    render(view(server.connections, ...sorted(feed.connections)), door);
    tellTimes(door);
  });
  const unfollow = feed.follow((changes) => {
    if (changes.snapshot || changes.connections.size || changes.servers.has(name)) paint();
  });
  return () => {
    unfollow();
    paint.end();
  };
}

function sorted(connections) {
  const queue = [];
  const inside = [];
  for (const one of connections.values()) {
    if (one.state === "waiting") queue.push(one);
    else if (inside.length < MOST_DOTS) inside.push(one);
  }
  return [queue.sort((one, other) => numberOf(one) - numberOf(other)), inside];
}

const numberOf = ({id}) => Number(id.slice(id.indexOf("-") + 1));

const view = ({waiting, open}, queue, inside) => html`
  <div class="outside">
    <h2>${_("Outside")} <b>${grouped(waiting)}</b></h2>
    <p class="aside">${_("in the kernel's accept queue, next at the door")}</p>
    ${queue.length
      ? html`<ol class="standing" tabindex="0" aria-label=${_("Who waits, the next first")}>${repeat(queue.slice(0, MOST_DRAWN), (one) => one.id, client)}</ol>`
      : html`<p class="nobody">${waiting ? "" : _("Nobody waits.")}</p>`}
    ${queue.length && waiting > MOST_DRAWN ? html`<p class="aside">${_("and %(n)s more behind them", {n: grouped(waiting - MOST_DRAWN)})}</p>` : nothing}
  </div>
  <div class="leaf" aria-hidden="true"></div>
  <div class="inside-room">
    <h2>${_("Inside")} <b>${grouped(open)}</b></h2>
    <p class="aside">${_("accepted: being served")}</p>
    ${room(open, inside)}
  </div>`;

function room(open, inside) {
  if (!inside.length) return html`<p class="nobody">${open ? "" : _("Nobody is inside.")}</p>`;
  if (inside.length <= MOST_NAMED) return html`<ul class="standing">${repeat(inside, (one) => one.id, client)}</ul>`;
  return html`<p class="crowd" aria-hidden="true">${inside.map(() => html`<i></i>`)}</p>
    ${open > MOST_DOTS ? html`<p class="aside">${_("and %(n)s more", {n: grouped(open - MOST_DOTS)})}</p>` : nothing}`;
}

const client = (one) => html`<li><b translate="no">${one.peer}</b> <span><time datetime=${one.since} data-since></time>${one.unread ? html` · ${_("%(size)s unread", {size: size(one.unread)})}` : nothing}</span></li>`;
