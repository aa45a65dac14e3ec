// The picture at a step's end: the same clients for each variant, played to a fresh server of it while one reads why.
import {at} from "../facts.js";
import {modelOf} from "../glass/model.js";
import {drawn} from "../glass/picture.js";
import {call} from "../rest.js";
import {_} from "../words.js";

const SCRIPTS = {
  "accept-once": "the-first-takes-all", "blocking-single": "the-first-takes-all", blocking: "three-clients-one-silent",
  nonblocking: "burning-for-nothing", selectors: "three-clients-one-silent", "asyncio-basic": "boom", asyncio: "boom",
};
const SCALE = 110, MOST_WIDE = 760, SCROLLBAR = 16;
const made = new Map();
let latest = Promise.resolve(); // one is made after the other, and none for a step that was left meanwhile

/** Fill a place with it; it is made once, and stays while the page does. */
export async function showPicture(place, variant) {
  if (place.dataset.variant === variant) return;
  place.dataset.variant = variant;
  place.textContent = _("Its picture is made: clients come, and each call is recorded …");
  try {
    const found = await inTurn(place, variant);
    if (!found || place.dataset.variant !== variant) return;
    const {id, model} = found;
    const label = _("Calls of %(name)s", {name: variant});
    place.innerHTML = `<div class="picture-window" tabindex="0" role="group">${drawn(model, {scale: SCALE, width: Math.min(place.clientWidth, MOST_WIDE) - SCROLLBAR, id: "walk", label}, _)}</div><p><a></a></p>`;
    place.firstElementChild.setAttribute("aria-label", label);
    const link = place.querySelector("a");
    link.href = at(`/ui/recordings/${encodeURIComponent(id)}`);
    link.textContent = _("Play it in slow motion, beside its source");
  } catch (problem) {
    place.textContent = problem.detail ?? "";
  }
}

async function inTurn(place, variant) {
  const before = latest;
  let done;
  latest = new Promise((resolve) => { done = resolve; });
  await before;
  try {
    if (!made.has(variant) && place.isConnected) made.set(variant, await recorded(variant));
    return made.get(variant);
  } finally {
    done();
  }
}

async function recorded(variant) {
  const comparison = await call("POST", "/comparisons", {script: SCRIPTS[variant] ?? "one-client", variants: [variant]});
  const [id] = comparison.recordings;
  return {id, model: modelOf(await call("GET", `/recordings/${encodeURIComponent(id)}`))};
}
