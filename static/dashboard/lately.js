// What happened lately, the newest first.
import {root} from "../facts.js";
import {html, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {_, translate} from "../words.js";

const MOST = 12;

/** The ids of a fleet's nodes are not to be compared with each other. */
const newestFirst = (one, other) => (one.at === other.at ? 0 : one.at < other.at ? 1 : -1);

export function followLately(main, feed) {
  const paint = painted(main.querySelector("#latest"));
  return feed.follow((changes) => {
    if (!changes.journal.size) return;
    const latest = [...feed.journal.values()].sort(newestFirst).slice(0, MOST);
    paint(latest.length ? repeat(latest, (entry) => entry.id, line) : html`<li class="nobody">${_("Nothing yet. Here is told what happens to the servers.")}</li>`);
  });
}

const line = (entry) => html`<li><time datetime=${entry.at} data-since="ago"></time> <a href="${root}/ui/servers/${entry.server}" translate="no">${entry.server}</a> <span>${translate(entry.what)}</span></li>`;
