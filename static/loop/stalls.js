// When the loop stood still, and on which line. Asked for when their count has grown.
import {html, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {eased} from "../painting/eased.js";
import {call} from "../rest.js";
import {_} from "../words.js";
import {placeOf} from "./place.js";

const MOST = 20;

export function followStalls(main, feed) {
  const list = main.querySelector("#stall-list");
  let count = -1;
  let stalls = null;
  let asking = false;
  const show = painted(list);
  const paint = eased(list, 500, () => stalls && show(view(stalls)));
  const ask = async () => {
    if (asking || feed.loop.stalled === count) return;
    asking = true;
    count = feed.loop.stalled;
    const found = await call("GET", "/loop").catch(() => null);
    asking = false;
    if (!found) return;
    stalls = found.stalls.slice(0, MOST);
    paint();
  };
  const unfollow = feed.follow((changes) => changes.loop && ask());
  return () => {
    unfollow();
    paint.end();
  };
}

function view(stalls) {
  if (!stalls.length) return html`<p class="nobody">${_("None since the app started.")}</p>`;
  return html`<ol class="catches">${repeat(stalls, (stall) => stall.at, line)}</ol>`;
}

const line = ({at, seconds, server, stack}) => html`<li class="caught"><details>
  <summary><span class="what"><b>${seconds.toFixed(2)} s</b> <span translate="no">${server ?? "echodeck"}</span> <code translate="no">${placeOf(stack)?.code}</code></span><span class="times"><time datetime=${at} data-since="ago"></time></span></summary>
  <ol class="stack" translate="no">${stack.map((place) => html`<li><code>${place.code || place.function}</code> <span>${place.function}, ${place.file.split("/").slice(-2).join("/")}:${place.line}</span></li>`)}</ol>
</details></li>`;
