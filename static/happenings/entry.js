// One exception, as a line that opens; templates/happenings.html paints the same first.
import {root} from "../facts.js";
import {grouped} from "../figures.js";
import {html, nothing} from "../painting/lit.js";
import {_, n_} from "../words.js";
import {shown} from "./traceback.js";

/**
 * `server` is "none" where the page is that of its server, else whether the server is "there" or "gone"; `there`: whether the
 * connection is.
 */
export const entry = (one, {server, there}) => html`<li class="caught" id="exception-${one.id}">
  <details>
    <summary>
      <span class="what" translate="no"><b class="trouble"><span aria-hidden="true">⚠</span> ${one.type}</b>${one.message ? html` <span>${one.message}</span>` : nothing}</span>
      <span class="times">${one.fatal ? html`<span class="fatal">${_("the server died of it")}</span> ` : nothing}${server === "none" ? nothing : html`<span translate="no">${one.server}</span> `}<b>${n_("once", "%(n)s times", one.count, {n: grouped(one.count)})}</b> <time datetime=${one.at} data-since="ago"></time></span>
    </summary>
    <dl class="facts">
      ${server === "none" ? nothing : fact(_("server"), server === "there" ? html`<a href="${root}/ui/servers/${one.server}">${one.server}</a>` : one.server)}
      ${fact(_("variant"), one.variant)}
      ${one.peer ? fact(_("client"), one.peer) : nothing}
      ${one.connection ? fact(_("connection"), there ? html`<a href="${root}/ui/servers/${one.server}#connection-${one.connection}">${one.connection}</a>` : html`${one.connection} <span class="aside" translate="yes">${_("has ended")}</span>`) : nothing}
      <div><dt>${_("first")}</dt><dd><time datetime=${one.first_at} data-since="ago"></time></dd></div>
      ${one.input ? html`<div class="wide"><dt>${_("input: the last bytes that the client had sent")}</dt><dd><code translate="no">${one.input}</code></dd></div>` : nothing}
    </dl>
    <pre class="traceback" translate="no" tabindex="0" role="region" aria-label=${_("Traceback")}>${shown(one.traceback)}</pre>
  </details>
</li>`;

const fact = (words, value) => html`<div><dt>${words}</dt><dd translate="no">${value}</dd></div>`;
