// The picture of a server's calls: a sequence diagram, time downward. Lanes for its clients, the kernel, and the server;
// what a call took is a bar, what went through an arrow. It knows nothing of the page, so that a file can carry it.
import {columnsOf, tickStep, tickWords, TOP} from "./columns.js";
import {Labels, penOf, widthOf} from "./labels.js";
import {describedBar, escaped, labelOf, shownBytes, sized} from "./wording.js";

const SHORT = 44; // pixels: a lane from which on its name is shortened, not upright
const UPRIGHT = 44; // pixels that an upright name has
const BESIDE_WORDS = 40; // pixels downward in which bars of the kernel must not lie under its words
const BYTES = 64; // of what went through: as many as are recorded

/** A client's name; of an address the port is what tells them apart. */
const nameOf = (lane) => /^\S{4,}:\d+$/.test(lane.name) ? lane.name.split(":").pop() : lane.name;

const holds = (buffers) => Object.values(buffers).reduce((a, b) => a + b, 0);

/**
 * As SVG. `scale` is in pixels a second, `width` the pixels that there are; only what lies from `from` to `to` seconds is
 * drawn. `id` keeps the patterns of several pictures apart. `_` translates.
 */
export function drawn(model, {scale, width: there = 0, from = -Infinity, to = Infinity, id, label}, _) {
  const {axis, lane: laneWide, kernel, kernelWide, server, row: rowWide, labels: beside, labelsWide, width, height} = columnsOf(model, scale, there);
  const y = (at) => TOP + at * scale;
  const places = new Map(model.lanes.map((lane, index) => [lane, axis + index * laneWide + 7]));
  const x = (lane) => places.get(lane);
  const inView = (a, b = a) => b >= from && a <= to;
  const labels = new Labels();
  const out = [`<svg class="calls-picture" width="${width}" height="${Math.ceil(height)}" viewBox="0 0 ${width} ${Math.ceil(height)}" role="img" aria-label="${escaped(label)}">`];
  out.push(`<defs>
<pattern id="${id}-blocked" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="blocked-ground" width="7" height="7"/><rect class="blocked-ink" width="3" height="7"/></pattern>
<pattern id="${id}-sleeping" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="sleeping-ground" width="8" height="8"/><circle class="sleeping-ink" cx="4" cy="4" r="1.4"/></pattern>
<pattern id="${id}-storm" width="6" height="4" patternUnits="userSpaceOnUse"><rect class="storm-ground" width="6" height="4"/><rect class="storm-ink" width="6" height="2.4"/></pattern>
<marker id="${id}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>`);
  const lines = []; // drawn once all labels have their places, around which they go
  const line = (x1, x2, at, kind) => lines.push([x1, x2, y(at), kind]);
  const room = laneWide - 9; // pixels beside a lane's line

  // The heads of the columns.
  const upright = laneWide < SHORT && model.lanes.some((lane) => widthOf(nameOf(lane), "lane-name") > room + 4);
  for (const lane of model.lanes) {
    const most = upright ? UPRIGHT : laneWide - 5;
    labels.put(x(lane) + (upright ? 4 : -3), TOP - 18, nameOf(lane), "lane-name", {most, upright, whole: lane.name});
  }
  labels.put(kernel + kernelWide / 2, TOP - 18, _("kernel"), "lane-name", {anchor: "middle", most: kernelWide - 6});
  const threads = model.rows.length > 1 ? ` · ${_("%(n)s threads", {n: model.rows.length})}` : "";
  labels.put(server + 2, TOP - 18, _("server") + threads, "lane-name", {most: beside - server + labelsWide});
  out.push(`<rect class="kernel-lane" x="${kernel + 8}" y="${TOP - 6}" width="${kernelWide - 16}" height="${model.seconds * scale + 12}"/>`);
  const step = tickStep(scale);
  for (let at = Math.ceil((0 - model.zero) / step) * step; at + model.zero <= model.seconds; at += step) {
    const when = at + model.zero;
    if (when < 0 || !inView(when)) continue;
    labels.put(axis - 10, y(when) + 4, tickWords(at, step), "soft", {anchor: "end"});
    line(axis - 6, beside - 8, when, "tick");
  }

  // The lanes.
  for (const lane of model.lanes) {
    for (const mark of lane.marks) {
      if (!inView(mark.at)) continue;
      labels.put(x(lane), y(mark.at) + 4, mark.error ? "!" : mark.does === "half-close" ? "⊣" : "×", "mark-of-client", {anchor: "middle", does: mark.does === "reset" || mark.error ? "bad" : ""});
    }
    if (lane.connected === null) continue;
    const end = Math.min(lane.left ?? lane.closed ?? model.seconds, model.seconds);
    const letIn = lane.accepted ?? end;
    if (letIn > lane.connected) {
      const until = Math.min(letIn, end);
      out.push(`<line class="outside-line" x1="${x(lane)}" x2="${x(lane)}" y1="${y(lane.connected)}" y2="${y(until)}"/>`);
      if ((until - lane.connected) * scale > 26 && inView(lane.connected)) labels.put(x(lane) + 6, y(lane.connected) + 16, _("waits"), "bar-words", {does: "blocked-words", most: room});
    }
    if (end > letIn || lane.accepted !== null) out.push(`<line class="inside-line" x1="${x(lane)}" x2="${x(lane)}" y1="${y(letIn)}" y2="${y(Math.max(letIn, end))}"/>`);
  }

  // The kernel: how many wait in the accept queue, and what lies in the buffers.
  let said = "";
  for (const [index, state] of model.recording.states.entries()) {
    const until = model.recording.states[index + 1]?.at ?? model.seconds;
    if (!inView(state.at, until)) continue;
    const unread = holds(state.unread), unsent = holds(state.unsent);
    const high = Math.max(1, (Math.min(until, model.seconds) - state.at) * scale);
    const held = (what, left, wide) => out.push(`<rect class="${what}" x="${left}" y="${y(state.at).toFixed(1)}" width="${wide}" height="${high.toFixed(1)}"/>`);
    if (state.queue) held("in-queue", kernel + 11, Math.min(8, state.queue) * 3);
    if (unread) held("unread", kernel + kernelWide - 16, 5);
    if (unsent) held("unsent", kernel + kernelWide - 23, 5);
    const words = [state.queue ? _("queue %(n)s", {n: state.queue}) : "", unread ? _("%(size)s unread", {size: sized(unread)}) : "", unsent ? _("%(size)s unsent", {size: sized(unsent)}) : ""].filter(Boolean).join(", ");
    if (words && words !== said) {
      const soon = model.recording.states.slice(index).filter((one) => (one.at - state.at) * scale < BESIDE_WORDS);
      const queued = Math.min(8, Math.max(...soon.map((one) => one.queue))) * 3;
      const left = kernel + 11 + (queued && queued + 3), right = kernel + kernelWide - (soon.some((one) => holds(one.unsent)) ? 25 : soon.some((one) => holds(one.unread)) ? 18 : 9);
      labels.put(left, y(state.at) + 11, words, "kernel-words", {most: right - left, lines: 3});
    }
    said = words;
  }

  // What the server does.
  const layer = (bar) => bar.storm ? 0 : bar.does === "running" ? 2 : 1; // what is short lies above what is long
  for (const bar of [...model.bars].sort((a, b) => layer(a) - layer(b))) {
    if (!inView(bar.from, bar.to)) continue;
    const fill = bar.storm ? ` fill="url(#${id}-storm)"` : bar.does === "running" ? "" : ` fill="url(#${id}-${bar.does})"`;
    out.push(`<rect class="does ${bar.storm ? "storm" : bar.does}" x="${server + bar.row * rowWide + 2}" y="${y(bar.from).toFixed(2)}" width="${rowWide - 4}" height="${Math.max(2, (bar.to - bar.from) * scale).toFixed(2)}"${fill} data-n="${bar.calls[0].n}"><title>${escaped(describedBar(bar, _))}</title></rect>`);
  }
  const told = model.bars.filter((bar) => inView(bar.from, bar.to)).sort((a, b) => (b.does !== "running") - (a.does !== "running") || b.storm - a.storm || (b.to - b.from) - (a.to - a.from));
  const lineHigh = penOf("bar-words").line;
  for (const bar of told) {
    const waits = bar.does !== "running" || bar.storm;
    const high = (bar.to - bar.from) * scale;
    if (waits && high < 22) continue;
    if (bar.storm && !bar.call.errno && told.some((other) => other.storm && other.call.errno && other.from < bar.to && other.to > bar.from)) continue;
    const at = y(bar.from) + (waits ? 12 : 4);
    const [does, what] = labelOf(bar, _);
    const placed = labels.put(beside, at, waits ? does : what, "bar-words", {does: `${bar.does}-words`, most: labelsWide});
    if (placed && waits) labels.put(beside, at + lineHigh, what, "soft", {most: labelsWide, lines: Math.max(1, Math.min(3, Math.floor(high / lineHigh) - 1))});
  }

  // What went through; a label above its arrow, or else below.
  const {up, down} = penOf("went-words");
  const went = (lane, at, words) => [y(at) - down - 2, y(at) + up + 2].some((base) => labels.put(x(lane) + 6, base, words, "went-words", {most: room}));
  for (const lane of model.lanes) {
    for (const one of lane.says) {
      if (!inView(one.at)) continue;
      line(x(lane), kernel + 8, one.at, "came");
      went(lane, one.at, one.size > 64 ? sized(one.size) : shownBytes(one.bytes, BYTES));
    }
  }
  for (const {kind, lane, row, at, call} of model.arrows) {
    if (!inView(at)) continue;
    const left = x(lane), right = server + row * rowWide + 2;
    const words = shownBytes(call.bytes, BYTES) || sized(call.result ?? 0);
    if (kind === "accept") {
      line(left, right, at, "let-in");
      went(lane, at, _("accept"));
    } else if (kind === "in") {
      line(kernel + kernelWide - 8, right, at, "came");
      if (lane.says.length) continue;
      line(left, kernel + 8, at, "came");
      went(lane, at, words);
    } else if (kind === "out") {
      line(right, left + 2, at, "gone");
      went(lane, at, words);
    } else if (kind === "close" && !lane.left) {
      labels.put(left + 6, y(at) + 4, _("closed"), "soft", {most: room});
    }
  }
  for (const [x1, x2, at, kind] of lines) {
    const path = labels.line(x1, x2, at);
    if (path) out.push(kind === "tick" ? `<path class="tick" d="${path}"/>` : `<path class="went ${kind}" d="${path}" marker-end="url(#${id}-head)"/>`);
  }
  out.push(...labels.drawn, "</svg>");
  return out.join("");
}
