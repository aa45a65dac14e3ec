// The nodes of a fleet; templates/nodes.html paints the same first.
import {busyWhile} from "../actions.js";
import {at} from "../facts.js";
import {grouped, percent} from "../figures.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {call} from "../rest.js";
import {_, n_} from "../words.js";

export function followNodes(place, feed, mayChange) {
  if (!place) return () => {};
  const paint = painted(place);
  const fence = Number(place.dataset.fence);
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
    paint(repeat(nodes, (one) => one.name, (one) => view(one, fence, mayChange)));
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
