// What this server's code raised.
import {earlierButton} from "../happenings/earlier.js";
import {entry} from "../happenings/entry.js";
import {Records} from "../happenings/records.js";
import {html, nothing, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {showProblem} from "../notices.js";
import {_} from "../words.js";
import {eased} from "../painting/eased.js";

const AT_ONCE = 20;

export function followExceptions(place, feed, name) {
  const list = place.querySelector("#caught");
  const records = new Records("/exceptions", {server: name}, (one) => one.server === name, AT_ONCE);
  const show = painted(list);
  const paint = eased(list, 250, () => records.loaded && show(view()));
  const load = () => records.load().then(paint, (problem) => problem.status === 404 || showProblem(problem));
  const more = () => records.more().then(paint, showProblem);
  const unfollow = feed.follow((changes) => {
    if (changes.snapshot) load();
    else if (changes.exceptions.size && records.take(changes.exceptions, feed.exceptions)) load();
    if (changes.exceptions.size || changes.connections.size) paint();
  });
  load();
  return () => {
    unfollow();
    paint.end();
  };

  function view() {
    if (!records.items.length) return html`<p class="nobody">${_("None. Exceptions of its code are caught, counted and shown here, each with what the client had sent.")}</p>`;
    return html`<ol class="catches">${repeat(records.items, (one) => one.id, (one) => entry(one, {server: "none", there: feed.connections.has(one.connection)}))}</ol>
      ${records.next ? html`<p>${earlierButton(more)}</p>` : nothing}`;
  }
}
