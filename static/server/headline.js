// Who the server is and how it fares: its state, and the figures that lead to what they count.
import {at, root, states} from "../facts.js";
import {grouped, percent, size} from "../figures.js";
import {html, ifDefined, nothing} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {address, nodeName} from "../rooms/row.js";
import {_, n_, translate} from "../words.js";

export function followHeadline(place, feed, name) {
  const showStatus = painted(place.querySelector("#now-state"));
  const showFigures = painted(place.querySelector("#tally"));
  return feed.follow((changes) => {
    const server = feed.servers.get(name);
    if (!server || !(changes.servers.has(name) || changes.loop)) return;
    if (!place.matches(`.is-${server.state}`)) place.className = `server is-${server.state}`;
    showStatus(status(server));
    showFigures(figures(server, feed.loop));
  });
}

const status = (server) => html`<p class="status"><span class="lamp" aria-hidden="true"></span><b>${states[server.state].words}</b> <time datetime=${server.since} data-since></time> <span class="address" translate="no">${address(server)}${nodeName(server)}</span></p>
  <p class="aside">${server.task ? html`${_("task")} <a href="${root}/ui/loop?server=${server.name}#tasks" translate="no">${server.task}</a>` : server.exit ? translate(server.exit.message) : _("never ran")}${server.restarts ? html` · <a href="#timeline">${n_("restarted once", "restarted %(n)s times", server.restarts)}</a>` : nothing}</p>`;

const figures = (server, loop) => html`
  ${figure(_("waiting"), grouped(server.connections.waiting), "#door")}
  ${figure(_("inside"), grouped(server.connections.open), "#connections")}
  ${figure(_("at most at once"), grouped(server.connections.peak))}
  ${figure(_("let in so far"), grouped(server.connections.total))}
  ${figure(_("turned away"), grouped(server.connections.turned_away))}
  ${figure(_("bytes in"), size(server.bytes_in), "#charts")}
  ${figure(_("bytes out"), size(server.bytes_out), "#charts")}
  ${server.loop_share !== null
    ? figure(_("of the loop"), percent(loop?.share[server.name] ?? 0), at("/ui/loop"))
    : figure(_("processor time"), server.cpu_seconds === null ? "–" : `${server.cpu_seconds.toFixed(2)} s`, at("/ui/loop#threads"))}
  ${figure(_("exceptions"), grouped(server.exceptions), "#exceptions", server.exceptions > 0)}`;

const figure = (words, text, link, trouble = false) => html`<div><dt>${words}</dt><dd>${link ? html`<a href=${link} class=${ifDefined(trouble ? "trouble" : undefined)}>${text}</a>` : text}</dd></div>`;
