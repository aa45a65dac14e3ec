// The dock at the foot of the window: the terminals that are shown side by side, as many as there is room for, the names
// of all, and a handle for its height. Pages come and go above it (navigation.js).
import {html, nothing, render, repeat} from "../painting/lit.js";
import {browserStore} from "../storage.js";
import {_} from "../words.js";
import {Pane} from "./pane.js";
import {terminals} from "./terminals.js";

export {terminals};

const NARROWEST = 400; // pixels of a pane
const MOST_SHOWN = 4; // each has an emulator
const LOWEST = 240;
const STEP = 24;
const KEY = "echodeck-terminals"; // {height} in pixels, as the reader chose it last

const dock = document.getElementById("terminals");
const panes = new Map(); // by terminal
let chosen = Number(browserStore.get(KEY)?.height) || null; // null until the reader chooses one
let shown = []; // terminals, the latest to be asked for last
let folded = false;
let room = 1;
let painting = 0;
let focusNext = null; // the terminal to be written to, once it is shown
let known = ""; // what the bar shows of the terminals

/** Open a terminal to this server, show it, and let the reader write. `chosen` is of what `terminals.leave` returned. */
export function openTerminal(server, chosen = {}) {
  const terminal = Object.assign(terminals.open(server), chosen);
  show(terminal);
  return terminal;
}

function show(terminal) {
  folded = false;
  shown = [...shown.filter((one) => one !== terminal), terminal];
  focusNext = terminal;
  paintSoon();
}

function paintSoon() {
  cancelAnimationFrame(painting);
  painting = requestAnimationFrame(paint);
}

function paint() {
  cancelAnimationFrame(painting);
  const {list} = terminals;
  const focused = [...panes].find(([, pane]) => pane.element.contains(document.activeElement))?.[0];
  shown = shown.filter((one) => list.includes(one));
  dock.hidden = !list.length;
  room = Math.max(1, Math.min(MOST_SHOWN, Math.floor(innerWidth / NARROWEST)));
  for (const one of [...list].reverse()) if (shown.length < room && !shown.includes(one)) shown.unshift(one);
  const visible = folded ? [] : list.filter((one) => shown.slice(-room).includes(one));
  for (const [terminal, pane] of panes) {
    if (visible.includes(terminal)) continue;
    pane.dispose();
    panes.delete(terminal);
  }
  const fresh = [];
  for (const terminal of visible) {
    if (panes.has(terminal)) continue;
    const pane = new Pane(terminal, openTerminal);
    panes.set(terminal, pane);
    fresh.push(pane);
  }
  dock.classList.toggle("is-folded", folded);
  setHeight();
  render(view(list, visible), dock);
  for (const pane of fresh) pane.begin();
  keepClear();
  if (focusNext) {
    panes.get(focusNext)?.focus();
    document.getElementById(`tab-${focusNext.id}`)?.scrollIntoView({inline: "nearest", block: "nearest"});
    focusNext = null;
  } else if (focused && !panes.has(focused)) {
    const next = panes.values().next().value;
    if (next) next.focus();
    else document.getElementById("main").focus({preventScroll: true});
  }
}

const view = (list, visible) => html`
  ${folded
    ? nothing
    : html`<div class="handle" role="separator" tabindex="0" aria-orientation="horizontal" aria-label=${_("Height of the terminals")}
        aria-valuemin=${LOWEST} aria-valuemax=${tallest()} aria-valuenow=${height()} @keydown=${resizeByKey} @pointerdown=${drag}></div>`}
  <div class="dock-bar">
    <h2>${_("Terminals")} <span class="figures">${list.length}</span></h2>
    ${folded || list.length > visible.length ? html`<ul class="tabs">${repeat(list, (one) => one.id, (one) => tab(one, visible.includes(one)))}</ul>` : html`<span class="tabs"></span>`}
    ${list.length > 1 && list.some((one) => !one.open) ? html`<button class="quiet small" @click=${closeEnded}>${_("Close ended")}</button>` : nothing}
    <button class="quiet small" aria-expanded=${folded ? "false" : "true"} @click=${fold}>${folded ? _("Unfold") : _("Fold")}</button>
  </div>
  ${folded ? nothing : html`<div class="panes">${repeat(visible, (one) => one.id, (one) => panes.get(one).element)}</div>`}`;

const tab = (terminal, current) => html`<li><button id=${`tab-${terminal.id}`} class="tab is-${terminal.status}${terminal.end?.trouble ? " is-trouble" : ""}" aria-current=${current ? "true" : nothing} @click=${() => show(terminal)}>
  <span class="mark" aria-hidden="true"></span><span translate="no">${terminal.name}</span><span class="unseen"> ${words(terminal)}</span></button></li>`;

function words(terminal) {
  if (terminal.status === "connecting") return _("connecting");
  if (terminal.status === "waiting") return _("waiting in the backlog");
  return terminal.status === "inside" ? _("inside") : _("ended");
}

function fold() {
  folded = !folded;
  paint();
}

function closeEnded() {
  for (const one of terminals.list) if (!one.open) terminals.remove(one);
}

// Height: what the reader chose last, as far as the window has room for it; what lies below the dock can be scrolled up.

const tallest = () => Math.max(LOWEST, Math.round(innerHeight * 0.85));
const initial = () => Math.max(400, innerHeight * (room > 1 ? 0.45 : 0.58));
const height = () => Math.min(Math.max(chosen ?? initial(), LOWEST), tallest());

function setHeight() {
  dock.style.height = folded ? "" : `${Math.round(height())}px`;
}

function keepClear() {
  document.documentElement.style.setProperty("--dock", dock.hidden ? "0px" : `${dock.offsetHeight}px`);
}

function resize(to) {
  chosen = Math.round(Math.min(Math.max(to, LOWEST), tallest()));
  browserStore.set(KEY, {height: chosen});
  paint();
}

function resizeByKey(event) {
  const to = {ArrowUp: height() + STEP, ArrowDown: height() - STEP, Home: LOWEST, End: tallest()}[event.key];
  if (to === undefined) return;
  event.preventDefault();
  resize(to);
}

function drag(event) {
  event.preventDefault();
  const handle = event.currentTarget;
  const from = event.clientY + height();
  const move = ({clientY}) => resize(from - clientY);
  handle.setPointerCapture(event.pointerId);
  handle.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => handle.removeEventListener("pointermove", move), {once: true});
}

terminals.addEventListener("change", ({detail}) => {
  panes.get(detail)?.changed();
  const now = terminals.list.map((one) => `${one.id} ${one.status} ${one.end?.what}`).join();
  if (now === known) return;
  known = now;
  paintSoon();
});
for (const type of ["sent", "closed"]) terminals.addEventListener(type, ({detail}) => panes.get(detail)?.changed());
addEventListener("resize", paintSoon);
addEventListener("beforeunload", (event) => {
  if (!terminals.left && terminals.list.some((one) => one.open)) event.preventDefault();
});
