// What happened lately, the newest first.
import {html, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {_, translate} from "../words.js";

const MOST = 12;

export function followLately(main, feed) {
  const paint = painted(main.querySelector("#latest"));
  return feed.follow((changes) => {
    if (!changes.journal.size) return;
    const latest = [...feed.journal.values()].sort((one, other) => Number(other.id) - Number(one.id)).slice(0, MOST);
    paint(latest.length ? repeat(latest, (entry) => entry.id, line) : html`<li class="nobody">${_("Nothing yet. Here is told what happens to the servers.")}</li>`);
  });
}

const line = (entry) => html`<li><time datetime=${entry.at} data-since="ago"></time> <a href="/ui/servers/${entry.server}" translate="no">${entry.server}</a> <span>${translate(entry.what)}</span></li>`;
