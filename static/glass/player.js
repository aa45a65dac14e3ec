// Recordings, played: pictures on one time axis, slow motion, steps from call to call, and the same as a list.
import {modelOf} from "./model.js";
import {columnsOf, TOP} from "./columns.js";
import {drawn} from "./picture.js";
import {doesWords, escaped, listedRow} from "./wording.js";

const SPEEDS = [1, 0.1, 0.01, 0.001];
const ZOOMS = [30, 60, 120, 240, 500, 1000, 4000, 16000, 64000];
const WHOLE = 12000; // pixels up to which all of a picture is drawn at once
const MARGIN = 900, LISTED = 500;
const BETWEEN = 16, SCROLLBAR = 16; // pixels between two pictures, and at a picture's side

export function play(root, recordings, _) {
  const models = recordings.map(modelOf);
  const seconds = Math.max(...models.map((model) => model.seconds));
  const zero = models[0].zero;
  const steps = models.flatMap((model, of) => model.calls.map((call) => ({at: call.at, of, call}))).sort((a, b) => a.at - b.at);
  let now = 0, zoom = zoomFor(seconds), speed = 1, playing = false, frame = 0, step = -1, told = 0;
  const single = models.length === 1;
  root.innerHTML = `
<div class="glass-tools" role="toolbar" aria-label="${_("Slow motion")}">
  <button type="button" data-do="back" title="${_("One call back (arrow up)")}" aria-label="${_("One call back")}">◂</button>
  <button type="button" data-do="play" class="primary" title="${_("Play or pause (space)")}">${_("Play")}</button>
  <button type="button" data-do="on" title="${_("One call on (arrow down)")}" aria-label="${_("One call on")}">▸</button>
  <label>${_("Speed")} <select data-do="speed">${SPEEDS.map((one) => `<option value="${one}">${one === 1 ? "1" : `1/${Math.round(1 / one)}`}</option>`).join("")}</select></label>
  <input type="range" min="0" max="${seconds}" step="any" value="0" aria-label="${_("Time")}">
  <output class="at"></output>
  <button type="button" data-do="out" aria-label="${_("Smaller")}">−</button><button type="button" data-do="in" aria-label="${_("Larger")}">+</button>
</div>
<p class="legend"><span><i class="key blocked"></i>${_("blocked in a call")}</span><span><i class="key sleeping"></i>${_("asleep until something is ready")}</span><span><i class="key running"></i>${_("running")}</span><span><i class="key storm"></i>${_("running, finding nothing")}</span><span><i class="key outside"></i>${_("a client that waits in the accept queue")}</span></p>
<p class="says" role="status"></p>
<div class="pictures${single ? " single" : ""}">${models.map((model, of) => `
  <figure data-of="${of}"><figcaption><b translate="no">${escaped(model.recording.variant)}</b> <span class="meanwhile"></span>${model.recording.dropped ? ` <span class="soft">${_("%(n)s calls were too many to be told", {n: model.recording.dropped})}</span>` : ""}${model.recording.folding === "second" ? ` <span class="soft">${_("equal calls are folded by the second")}</span>` : ""}</figcaption>
  <div class="picture-window" tabindex="0" role="group" aria-label="${_("Calls of %(name)s", {name: escaped(model.recording.variant)})}"><div class="picture-whole"><div class="drawn"></div><div class="playhead"></div></div></div>
  <details class="as-list"${single ? " open" : ""}><summary>${_("The same as a list: %(n)s calls", {n: model.calls.length.toLocaleString("en")})}</summary><ol translate="no" tabindex="0" aria-label="${_("Calls of %(name)s", {name: escaped(model.recording.variant)})}"></ol></details></figure>`).join("")}
  ${single ? `<pre class="source-beside" translate="no" tabindex="0" aria-label="${_("Source")}">${recordings[0].source.split("\n").map((line, index) => `<span data-line="${index + 1}"><i>${index + 1}</i>${escaped(line)}\n</span>`).join("")}</pre>` : ""}
</div>`;
  const find = (what) => root.querySelector(what);
  const windows = [...root.querySelectorAll(".picture-window")];
  const range = find("input[type=range]");
  const board = find(".pictures");

  /** As many pictures beside one another as are well read, else half of them if they have room at all. */
  function fit() {
    const sizes = models.map((model) => columnsOf(model, ZOOMS[zoom]));
    const fits = (abreast, what) => (board.clientWidth - BETWEEN * (abreast - 1)) / abreast >= Math.max(...sizes.map((size) => size[what])) + SCROLLBAR;
    const all = models.length, half = Math.ceil(all / 2);
    const abreast = [all, half].find((some) => fits(some, "fair")) ?? (fits(half, "least") ? half : 1);
    board.style.setProperty("--abreast", abreast);
    board.classList.toggle("wrapped", abreast < models.length);
    for (const of of models.keys()) draw(of);
  }

  function draw(of) {
    const model = models[of], pane = windows[of], whole = pane.firstElementChild;
    const width = pane.clientWidth;
    const size = columnsOf(model, ZOOMS[zoom], width);
    const tall = size.height > WHOLE;
    const from = tall ? (pane.scrollTop - MARGIN) / ZOOMS[zoom] : -Infinity;
    const to = tall ? (pane.scrollTop + pane.clientHeight + MARGIN) / ZOOMS[zoom] : Infinity;
    whole.style.height = `${size.height}px`;
    whole.style.width = `${size.width}px`;
    const {queue} = model.recording.states.at(-1) ?? {queue: 0};
    const label = _("Calls of %(name)s", {name: model.recording.variant}) + `: ${model.calls.length}; ${_("the same is in the list")}` + (queue ? `; ${_("queue %(n)s", {n: queue})}` : "");
    whole.firstElementChild.innerHTML = drawn(model, {scale: ZOOMS[zoom], width, from, to, id: `p${of}`, label}, _);
    pane.dataset.from = from;
    pane.dataset.to = to;
  }

  function list(of, around = 0) {
    const model = models[of], start = Math.max(0, Math.min(around - LISTED / 2, model.calls.length - LISTED));
    const rows = model.calls.slice(start, start + LISTED).map((call) => listedRow(call, model, _));
    const ol = root.querySelector(`figure[data-of="${of}"] ol`);
    ol.start = start + 1;
    ol.innerHTML = rows.map((row) => `<li data-n="${row.n}" class="${row.does}"><span class="when">${row.at.toFixed(6)}</span> <span class="on">${escaped(row.on)}</span> <code>${escaped(row.words)}</code> <span class="took">${escaped(row.took)}${row.line ? ` · ${escaped(_("line %(n)s", {n: row.line}))}` : ""}</span></li>`).join("");
  }

  /** What each is in at this moment. */
  function meanwhile(of) {
    const model = models[of];
    const bars = model.bars.filter((bar) => bar.from <= now && bar.to >= now && !(bar.does === "running" && !bar.storm));
    const state = model.recording.states.findLast((one) => one.at <= now);
    const words = [...new Set(bars.map((bar) => `${bar.storm ? _("running, finding nothing") : doesWords(bar.does, _)}${bar.call.call === "wait" ? "" : `: ${bar.call.call}`}${bar.call.line ? `, ${_("line %(n)s", {n: bar.call.line})}` : ""}`))];
    return [...words.filter((one) => !words.some((other) => other !== one && other.startsWith(one))), state?.queue ? _("queue %(n)s", {n: state.queue}) : ""].filter(Boolean).join(" · ");
  }

  function show(scrolls = true) {
    range.value = now;
    range.setAttribute("aria-valuetext", spoken(now - zero));
    find(".at").textContent = spoken(now - zero);
    const y = TOP + now * ZOOMS[zoom];
    for (const [of, pane] of windows.entries()) {
      pane.firstElementChild.lastElementChild.style.transform = `translateY(${y}px)`;
      if (scrolls && (y < pane.scrollTop + 60 || y > pane.scrollTop + pane.clientHeight - 60)) pane.scrollTop = y - pane.clientHeight / 2;
      const does = root.querySelector(`figure[data-of="${of}"] .meanwhile`);
      does.textContent = does.title = meanwhile(of);
    }
    if (single) light(models[0].bars.findLast((bar) => bar.from <= now && bar.to >= now && bar.call.line)?.call.line ?? models[0].calls.findLast((call) => call.at <= now && call.line)?.line);
  }

  function light(line) {
    for (const lit of root.querySelectorAll(".source-beside .is-here")) lit.classList.remove("is-here");
    const row = line && root.querySelector(`.source-beside [data-line="${line}"]`);
    if (!row) return;
    row.classList.add("is-here");
    const pane = row.parentElement;
    if (row.offsetTop < pane.scrollTop || row.offsetTop > pane.scrollTop + pane.clientHeight - 24) pane.scrollTop = row.offsetTop - pane.clientHeight / 2;
  }

  function go(at, scrolls = true) {
    now = Math.max(0, Math.min(seconds, at));
    show(scrolls);
  }

  function stepTo(index) {
    pause();
    step = Math.max(0, Math.min(steps.length - 1, index));
    if (!steps[step]) return;
    const {at, of, call} = steps[step];
    go(at);
    const row = listedRow(call, models[of], _);
    find(".says").textContent = `${spoken(row.at)} · ${single ? "" : `${models[of].recording.variant}: `}${row.on} ${row.words} · ${row.took}${row.line ? ` · ${_("line %(n)s", {n: row.line})}` : ""}`;
    let item = root.querySelector(`figure[data-of="${of}"] li[data-n="${call.n}"]`);
    if (!item) {
      list(of, models[of].calls.indexOf(call));
      item = root.querySelector(`figure[data-of="${of}"] li[data-n="${call.n}"]`);
    }
    for (const lit of root.querySelectorAll("li.is-here")) lit.classList.remove("is-here");
    item?.classList.add("is-here");
    if (single) {
      const box = item?.parentElement;
      if (box) box.scrollTop = item.offsetTop - box.clientHeight / 2;
      if (call.line) light(call.line);
    }
  }

  const nearest = () => {
    const found = steps.findLastIndex((one) => one.at <= now + 1e-9);
    return step >= 0 && Math.abs((steps[step]?.at ?? -1) - now) < 1e-9 ? step : found;
  };

  function pause() {
    playing = false;
    cancelAnimationFrame(frame);
    find("[data-do=play]").textContent = _("Play");
  }

  function start() {
    if (now >= seconds) now = 0;
    playing = true;
    told = performance.now();
    find("[data-do=play]").textContent = _("Pause");
    frame = requestAnimationFrame(tick);
  }

  function tick(at) {
    if (!playing || !root.isConnected) return;
    go(now + Math.max(0, at - told) / 1000 * speed);
    told = at;
    if (now >= seconds) pause();
    else frame = requestAnimationFrame(tick);
  }

  function zoomBy(by) {
    const before = ZOOMS[zoom];
    zoom = Math.max(0, Math.min(ZOOMS.length - 1, zoom + by));
    const kept = windows.map((pane) => now * before + TOP - pane.scrollTop);
    for (const [of, pane] of windows.entries()) {
      draw(of);
      pane.scrollTop = now * ZOOMS[zoom] + TOP - kept[of];
      draw(of);
    }
    show();
  }

  const acts = {
    play: () => playing ? pause() : start(), back: () => stepTo(nearest() - 1), on: () => stepTo(nearest() + 1),
    in: () => zoomBy(1), out: () => zoomBy(-1),
  };
  root.addEventListener("click", (event) => {
    acts[event.target.closest("button[data-do]")?.dataset.do]?.();
    const bar = event.target.closest("[data-n]");
    const of = Number(event.target.closest("figure")?.dataset.of);
    if (bar && !event.target.closest("button")) stepTo(steps.findIndex((one) => one.of === of && one.call.n === Number(bar.dataset.n)));
  });
  find("[data-do=speed]").addEventListener("change", (event) => { speed = Number(event.target.value); });
  range.addEventListener("input", () => { pause(); go(Number(range.value)); });
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, textarea, summary, input:not([type=range])")) return;
    const act = {" ": "play", ArrowDown: "on", ArrowRight: "on", ArrowUp: "back", ArrowLeft: "back", "+": "in", "-": "out"}[event.key];
    if (!act || (event.key === " " && event.target.matches("button"))) return;
    event.preventDefault();
    acts[act]();
  });
  let waits = 0;
  for (const [of, pane] of windows.entries()) {
    pane.addEventListener("scroll", () => {
      cancelAnimationFrame(waits);
      waits = requestAnimationFrame(() => {
        for (const [other, beside] of windows.entries()) {
          if (other !== of && Math.abs(beside.scrollTop - pane.scrollTop) > 1) beside.scrollTop = pane.scrollTop;
          const top = beside.scrollTop / ZOOMS[zoom], end = (beside.scrollTop + beside.clientHeight) / ZOOMS[zoom];
          if (top < Number(beside.dataset.from) || end > Number(beside.dataset.to)) draw(other);
        }
      });
    }, {passive: true});
  }
  const spoken = (at) => `${at.toFixed(speed < 0.1 ? 6 : 3)} s`;
  let fitted = board.clientWidth;
  const resized = new ResizeObserver(() => {
    if (board.clientWidth === fitted) return;
    fitted = board.clientWidth;
    fit();
  });
  fit();
  resized.observe(board);
  for (const of of models.keys()) list(of);
  go(0, false);
  return () => {
    resized.disconnect();
    pause();
  };
}

function zoomFor(seconds) {
  const fits = ZOOMS.findLastIndex((scale) => scale * seconds <= 1400);
  return Math.max(1, fits);
}
