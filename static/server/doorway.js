// The door, large: outside the queue in which clients wait for accept, the next one at the door; inside those who are
// served. The kernel does not tell the order of its queue: who was seen first is taken to stand first.
import {grouped, size} from "../figures.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {_} from "../words.js";
import {eased} from "../painting/eased.js";

const MOST_DRAWN = 40;
const MOST_NAMED = 8;
const MOST_DOTS = 400;
const GAP_MS = 250;

export function followDoorway(place, feed, name) {
  const door = place.querySelector("#door");
  const show = painted(door);
  const paint = eased(door, GAP_MS, () => {
    const server = feed.servers.get(name);
    if (server) show(view(server.connections, ...sorted(feed.connections)));
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
    else if (inside.length <= MOST_NAMED) inside.push(one);
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
    ${queue.length && waiting > drawn(queue) ? html`<p class="aside">${_("and %(n)s more behind them", {n: grouped(waiting - drawn(queue))})}</p>` : nothing}
  </div>
  <div class="leaf" aria-hidden="true"></div>
  <div class="inside-room">
    <h2>${_("Inside")} <b>${grouped(open)}</b></h2>
    <p class="aside">${_("accepted: being served")}</p>
    ${room(open, inside)}
  </div>`;

const drawn = (queue) => Math.min(queue.length, MOST_DRAWN);

function room(open, inside) {
  if (open <= MOST_NAMED && inside.length) return html`<ul class="standing">${repeat(inside, (one) => one.id, client)}</ul>`;
  if (open <= MOST_NAMED) return html`<p class="nobody">${open ? "" : _("Nobody is inside.")}</p>`;
  return html`<p class="crowd" aria-hidden="true">${Array.from({length: Math.min(open, MOST_DOTS)}, () => html`<i></i>`)}</p>
    ${open > MOST_DOTS ? html`<p class="aside">${_("and %(n)s more", {n: grouped(open - MOST_DOTS)})}</p>` : nothing}`;
}

const client = (one) => html`<li><b translate="no">${one.peer}</b> <span><time datetime=${one.since} data-since></time>${one.unread ? html` · ${_("%(size)s unread", {size: size(one.unread)})}` : nothing}</span></li>`;
