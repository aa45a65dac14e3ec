// A server's door: who waits in the queue outside, who is inside. Dots up to a number, figures beyond.
import {root} from "../facts.js";
import {grouped} from "../figures.js";
import {html} from "../painting/lit.js";
import {_} from "../words.js";

export const MOST_DOTS = 8;
const dots = (count) => Array.from({length: Math.min(count, MOST_DOTS)}, () => html`<i></i>`);
const still = matchMedia("(prefers-reduced-motion: reduce)");

export const door = (name, {waiting, open}) => html`<a class="door" href="${root}/ui/servers/${name}#connections">
  <span class="queue" aria-hidden="true">${dots(waiting)}</span>
  <span class="inside" aria-hidden="true">${dots(open)}</span>
  <span class="count"><b>${grouped(waiting)}</b> ${_("waiting")} · <b>${grouped(open)}</b> ${_("inside")}</span>
</a>`;

/** Show that somebody came since the latest painting: the newest dot steps in. */
export function showArrivals(room, before, now) {
  if (still.matches) return;
  if (now.waiting > before.waiting) stepIn(room.querySelector(".queue i"), -10);
  if (now.open > before.open) stepIn(room.querySelector(".inside i:last-child"), -10);
}

function stepIn(dot, from) {
  dot?.animate([{transform: `translateX(${from}px)`, opacity: 0}, {transform: "none", opacity: 1}], {duration: 180, easing: "ease-out"});
}
