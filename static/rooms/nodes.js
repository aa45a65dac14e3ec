// The nodes of a fleet, and its etcd as this node observes it; templates/nodes.html paints the same first.
import {busyWhile} from "../actions.js";
import {at} from "../facts.js";
import {grouped, percent, size} from "../figures.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {call} from "../rest.js";
import {_, n_} from "../words.js";

export function followNodes(main, feed, mayChange) {
  const place = main.querySelector("#nodes");
  if (!place) return () => {};
  const paint = painted(place);
  const fence = Number(place.dataset.fence);
  const {here} = place.dataset;
  place.addEventListener("click", (event) => {
    const button = event.target.closest("[data-node-action]");
    if (!button) return;
    event.preventDefault();
    const {node} = button.closest("[data-node]").dataset;
    busyWhile(button, call("POST", `/nodes/${encodeURIComponent(node)}/${button.dataset.nodeAction}`));
  });
  return feed.follow((changes) => {
    if (!changes.nodes.size || !feed.nodes.size) return;
    const nodes = [...feed.nodes.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
    const etcd = feed.nodes.get(here)?.etcd;
    paint(html`${repeat(nodes, (one) => one.name, (one) => view(one, fence, mayChange))}${etcd ? etcdCard(etcd) : nothing}`);
  });
}

const view = (one, fence, mayChange) => html`<li class="node is-${one.state}" id="node-${one.name}" data-node=${one.name}>
  <h3><span class="lamp" aria-hidden="true"></span><span translate="no">${one.name}</span></h3>
  <p class="state"><b>${words(one.state)}</b></p>
  ${one.servers === null
    ? html`<p class="figures">${_("no answer")}</p>`
    : html`<p class="figures">${clock(one.lease_left, fence)} <span>${n_("%(n)s server", "%(n)s servers", one.servers, {n: grouped(one.servers)})}</span> <span>${_("loop")} <b>${percent(one.loop_share)}</b></span></p>`}
  ${mayChange && ["ready", "draining"].includes(one.state) ? button(one) : nothing}
</li>`;

const clock = (left, most) => html`<svg class="lease" viewBox="0 0 20 20" role="img" aria-label=${_("lease")}><circle cx="10" cy="10" r="8" /><path pathLength="100" d="M10 2a8 8 0 1 1 0 16a8 8 0 1 1 0-16" stroke-dasharray="${Math.round(Math.min(left / most, 1) * 100)} 100" /></svg>`;

function button({name, state}) {
  const action = state === "draining" ? "resume" : "drain";
  return html`<form method="post" action=${at(`/ui/nodes/${name}/${action}`)}><button class="quiet" data-node-action=${action}>${action === "resume" ? _("Resume") : _("Drain")}<span class="unseen" translate="no"> ${name}</span></button></form>`;
}

function words(state) {
  return {ready: _("ready"), draining: _("gives its servers away"), fenced: _("cut off from the engine"), lost: _("lost")}[state];
}

const etcdCard = ({state, members, leader, database_bytes, quota_bytes, troubles}) => html`<li class="etcd is-${state}" id="etcd">
  <h3><span class="lamp" aria-hidden="true"></span><span translate="no">etcd</span></h3>
  <p class="state"><b>${etcdWords(state)}</b></p>
  <p class="figures"><span>${n_("%(n)s member", "%(n)s members", members.length, {n: members.length})}</span>${leader ? html` <span>${_("leader")} <b translate="no">${leader}</b></span>` : nothing}${database_bytes === null ? nothing : html` <span>${_("database")} <b>${size(database_bytes)}</b>${quota_bytes ? ` / ${size(quota_bytes)}` : nothing}</span>`}</p>
  ${troubles.map(({kind, member}) => html`<p class="why">${member ? html`<b translate="no">${member}</b> ` : nothing}${etcdWords(kind)}</p>`)}
</li>`;

function etcdWords(word) {
  return {
    healthy: _("healthy"),
    degraded: _("works, with trouble"),
    failing: _("the fleet cannot be changed"),
    unavailable: _("does not answer this node"),
    "no-leader": _("has no leader"),
    refused: _("refuses this node"),
    nospace: _("alarm NOSPACE: the database is full"),
    corrupt: _("alarm CORRUPT: members differ in what they store"),
    "keys-lost": _("has lost the fleet's keys; floating servers do not run"),
    "other-cluster": _("belongs to another cluster now"),
    "member-silent": _("does not answer"),
    "nearly-full": _("the database is nearly full"),
  }[word];
}
