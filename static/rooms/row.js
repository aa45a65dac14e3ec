// A server as a row of the dashboard; templates/rooms.html paints the same first.
import {root, states} from "../facts.js";
import {grouped, percent, size} from "../figures.js";
import {html, nothing} from "../painting/lit.js";
import {_, n_, translate} from "../words.js";
import {door} from "./door.js";

export const row = (server, title, exception, mayChange) => html`
  <div class="who">
    <h3><a href="${root}/ui/servers/${server.name}" translate="no">${server.name}</a></h3>
    <p>${title}${nodeName(server)}</p>
  </div>
  ${state(server)}
  <p class="address" translate="no">${address(server)}</p>
  <p class="traffic"><svg class="spark" viewBox="0 0 60 16" preserveAspectRatio="none" aria-hidden="true"><path /></svg> <span><b>${size(server.bytes_in)}</b> ${_("in")}</span></p>
  ${share(server)}
  ${door(server.name, server.connections)}
  ${mayChange ? actions(server) : html`<span class="actions"></span>`}
  ${trace(server, exception)}`;

export const address = ({host, port}) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);

/** Which node of a fleet has it. */
export const nodeName = ({node}) => (node ? html` <span class="node-name" translate="no">@ ${node}</span>` : nothing);

export const state = (server) => html`<p class="state"><span class="lamp" aria-hidden="true"></span><b>${states[server.state].words}</b> <time datetime=${server.since} data-since></time></p>`;

export const share = (server) =>
  server.loop_share === null
    ? html`<p class="share"><span class="bar none" aria-hidden="true"></span> ${_("a thread")}</p>`
    : html`<p class="share"><svg class="bar" viewBox="0 0 20 1" preserveAspectRatio="none" aria-hidden="true"><rect width=${Math.round(server.loop_share * 20)} height="1" /></svg> ${_("loop")} <b>${percent(server.loop_share)}</b></p>`;

export const actions = (server) => html`<form class="actions" method="post" action="${root}/ui/servers/${server.name}/stop" data-server=${server.name}>
  ${!states[server.state].rests
    ? html`${button(server, "stop", _("Stop"))} ${button(server, "restart", _("Restart"))}`
    : html`${button(server, "start", _("Start"))} ${button(server, "remove", _("Remove"))}`}
  <a class="button" href="${root}/ui/servers/${server.name}#terminals" data-terminal=${server.name}>${_("Terminal")}<span class="unseen" translate="no"> ${server.name}</span></a>
</form>`;

const button = (server, action, words) => html`<button formaction="${root}/ui/servers/${server.name}/${action}" data-action=${action}>${words}<span class="unseen" translate="no"> ${server.name}</span></button>`;

function trace(server, exception) {
  const ended = server.exit && states[server.state].ended;
  if (!server.exceptions && !ended) return nothing;
  return html`<p class="trace">
    ${server.exceptions ? html`<a class="trouble" href="${root}/ui/exceptions?server=${server.name}">⚠ ${n_("%(n)s exception", "%(n)s exceptions", server.exceptions, {n: grouped(server.exceptions)})}</a>` : nothing}
    ${server.exceptions && exception ? cause(exception) : nothing}
    ${ended ? html`<span>${translate(server.exit.message)}</span>` : nothing}
    ${server.restarts ? html`<span>${n_("restarted once", "restarted %(n)s times", server.restarts)}</span>` : nothing}
  </p>`;
}

const cause = (exception) => html`<span translate="no"><code>${exception.type}: ${exception.message}</code></span>
  ${exception.input === null ? nothing : html`<span>${_("input")} <code translate="no">${exception.input}</code></span>`}
  <time datetime=${exception.at} data-since="ago"></time>`;
