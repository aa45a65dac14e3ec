// What happened to this server, the newest first.
import {Records} from "../exceptions/records.js";
import {tellTimes} from "../figures.js";
import {html, nothing, render, repeat} from "../lit.js";
import {tellProblem} from "../notices.js";
import {_, translate} from "../words.js";
import {eased} from "./eased.js";

const AT_ONCE = 30;

export function timeline(place, feed, name) {
  const list = place.querySelector("#story");
  const earlier = place.querySelector("#earlier");
  if ("earlier" in list.dataset) return () => {}; // a page of the past, as it was asked for
  const records = new Records("/journal", {server: name}, (one) => one.server === name, AT_ONCE);
  let ours = false;
  const paint = eased(list, 250, () => {
    if (!records.loaded) return;
    if (!ours) {
      list.replaceChildren();
      earlier.replaceChildren();
    }
    ours = true;
    render(repeat(records.items, (one) => one.id, line), list);
    render(records.next ? html`<button class="small" @click=${more}>${_("Earlier")}</button>` : nothing, earlier);
    tellTimes(list);
  });
  const load = () => records.load().then(paint, (problem) => problem.status === 404 || tellProblem(problem));
  const more = () => records.more().then(paint, tellProblem);
  const unfollow = feed.follow((changes) => {
    if (changes.snapshot) load();
    else if (changes.journal.size) records.take(changes.journal, feed.journal);
    if (changes.journal.size) paint();
  });
  load();
  return () => {
    unfollow();
    paint.end();
  };
}

const line = (entry) => html`<li><time datetime=${entry.at} data-since="ago"></time> <span>${translate(entry.what)}</span></li>`;
