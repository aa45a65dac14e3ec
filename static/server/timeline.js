// What happened to this server, the newest first.
import {earlierButton} from "../happenings/earlier.js";
import {Records} from "../happenings/records.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {showProblem} from "../notices.js";
import {translate} from "../words.js";
import {eased} from "../painting/eased.js";

const AT_ONCE = 30;

export function timeline(place, feed, name) {
  const list = place.querySelector("#story");
  if ("earlier" in list.dataset) return () => {}; // a page of the past, as it was asked for
  const records = new Records("/journal", {server: name}, (one) => one.server === name, AT_ONCE);
  const show = painted(list);
  const showEarlier = painted(place.querySelector("#earlier"));
  const paint = eased(list, 250, () => {
    if (!records.loaded) return;
    show(repeat(records.items, (one) => one.id, line));
    showEarlier(records.next ? earlierButton(more) : nothing);
  });
  const load = () => records.load().then(paint, (problem) => problem.status === 404 || showProblem(problem));
  const more = () => records.more().then(paint, showProblem);
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
