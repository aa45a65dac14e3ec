// What happened lately, the newest first.
import {tellTimes} from "../figures.js";
import {html, render, repeat} from "../lit.js";
import {translate} from "../words.js";

const MOST = 12;

export function followLately(main, feed) {
  const list = main.querySelector("#latest");
  let ours = false;
  return feed.follow((changes) => {
    if (!changes.journal.size) return;
    const latest = [...feed.journal.values()].sort((one, other) => Number(other.id) - Number(one.id)).slice(0, MOST);
    if (!ours) list.replaceChildren();
    ours = true;
    render(repeat(latest, (entry) => entry.id, line), list);
    tellTimes(list);
  });
}

const line = (entry) => html`<li><time datetime=${entry.at} data-since="ago"></time> <a href="/ui/servers/${entry.server}" translate="no">${entry.server}</a> <span>${translate(entry.what)}</span></li>`;
