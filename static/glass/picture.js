// The picture of a server's calls: a sequence diagram, time downward. Lanes for its clients, the kernel, and the server;
// what a call took is a bar, what went through an arrow. It knows nothing of the page, so that a file can carry it.
import {describedBar, escaped, labelOf, shownBytes, sized} from "./wording.js";

const LANE = 46, KERNEL = 82, ROW = 24, AXIS = 46, LABELS = 168, APART = 13;
export const TOP = 46;

const nice = (least) => [0.000001, 0.000002, 0.000005].flatMap((base) => [...Array(9).keys()].map((power) => base * 10 ** power)).sort((a, b) => a - b).find((step) => step >= least) ?? 10;

/** Labels that would lie on one another are left out: the list has them all. */
function spaced() {
  const taken = new Map();
  return (column, y, apart = APART) => {
    const place = Math.floor(y / apart);
    for (const near of [place - 1, place, place + 1]) {
      const other = taken.get(`${column} ${apart} ${near}`);
      if (other !== undefined && Math.abs(other - y) < apart) return false;
    }
    taken.set(`${column} ${apart} ${place}`, y);
    return true;
  };
}

/** How wide and high it is at so many pixels a second. */
export const extent = (model, scale) => ({
  width: AXIS + model.lanes.length * LANE + KERNEL + Math.max(1, model.rows.length) * ROW + LABELS,
  height: TOP + model.seconds * scale + 24,
});

/**
 * As SVG. `scale` is in pixels a second; only what lies from `from` to `to` seconds is drawn. `id` keeps the patterns of
 * several pictures apart. `_` translates.
 */
export function drawn(model, {scale, from = -Infinity, to = Infinity, id, label}, _) {
  const {width, height} = extent(model, scale);
  const y = (at) => TOP + at * scale;
  const x = (lane) => AXIS + model.lanes.indexOf(lane) * LANE + LANE / 2;
  const kernel = AXIS + model.lanes.length * LANE;
  const server = kernel + KERNEL;
  const labels = server + Math.max(1, model.rows.length) * ROW + 8;
  const inView = (a, b = a) => b >= from && a <= to;
  const free = spaced();
  const out = [`<svg class="calls-picture" width="${width}" height="${Math.ceil(height)}" viewBox="0 0 ${width} ${Math.ceil(height)}" role="img" aria-label="${escaped(label)}">`];
  out.push(`<defs>
<pattern id="${id}-blocked" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="blocked-ground" width="7" height="7"/><rect class="blocked-ink" width="3" height="7"/></pattern>
<pattern id="${id}-sleeping" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="sleeping-ground" width="8" height="8"/><circle class="sleeping-ink" cx="4" cy="4" r="1.4"/></pattern>
<pattern id="${id}-storm" width="6" height="4" patternUnits="userSpaceOnUse"><rect class="storm-ground" width="6" height="4"/><rect class="storm-ink" width="6" height="2.4"/></pattern>
<marker id="${id}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>`);
  const text = (atX, atY, words, more = "") => out.push(`<text x="${atX.toFixed(1)}" y="${atY.toFixed(1)}" ${more}>${escaped(words)}</text>`);

  // The lanes, and their names.
  for (const lane of model.lanes) text(x(lane), 16, lane.name.length > 9 && lane.name.includes(":") ? lane.name.split(":").pop() : lane.name.slice(0, 9), 'class="lane-name" text-anchor="middle"');
  text(kernel + KERNEL / 2, 16, _("kernel"), 'class="lane-name" text-anchor="middle"');
  text(server + 2, 16, _("server"), 'class="lane-name"');
  if (model.rows.length > 1) text(server + 2, 32, _("%(n)s threads", {n: model.rows.length}), 'class="soft"');
  out.push(`<rect class="kernel-lane" x="${kernel + 8}" y="${TOP - 6}" width="${KERNEL - 16}" height="${model.seconds * scale + 12}"/>`);
  const step = nice(70 / scale);
  for (let at = Math.ceil((0 - model.zero) / step) * step; at + model.zero <= model.seconds; at += step) {
    const when = at + model.zero;
    if (when < 0 || !inView(when)) continue;
    out.push(`<line class="tick" x1="${AXIS - 6}" x2="${labels - 8}" y1="${y(when)}" y2="${y(when)}"/>`);
    text(AXIS - 10, y(when) + 4, step >= 0.1 ? `${at.toFixed(1)} s` : step >= 0.001 ? `${(at * 1000).toFixed(0)} ms` : `${(at * 1000).toFixed(3)} ms`, 'class="soft" text-anchor="end"');
  }
  for (const lane of model.lanes) {
    if (lane.connected === null) continue;
    const end = Math.min(lane.left ?? lane.closed ?? model.seconds, model.seconds);
    const let_in = lane.accepted ?? end;
    if (let_in > lane.connected) {
      out.push(`<line class="outside-line" x1="${x(lane)}" x2="${x(lane)}" y1="${y(lane.connected)}" y2="${y(Math.min(let_in, end))}"/>`);
      if ((Math.min(let_in, end) - lane.connected) * scale > 26) text(x(lane) + 5, y(lane.connected) + 16, _("waits"), 'class="blocked-words"');
    }
    if (end > let_in || lane.accepted !== null) out.push(`<line class="inside-line" x1="${x(lane)}" x2="${x(lane)}" y1="${y(let_in)}" y2="${y(Math.max(let_in, end))}"/>`);
    for (const mark of lane.marks) {
      if (!inView(mark.at)) continue;
      text(x(lane), y(mark.at) + 4, mark.error ? "!" : mark.does === "half-close" ? "⊣" : "×", `class="mark-of-client${mark.does === "reset" || mark.error ? " bad" : ""}" text-anchor="middle"`);
    }
  }

  // The kernel: who waits in the accept queue, and what lies in the buffers.
  let said = "";
  for (const [index, state] of model.recording.states.entries()) {
    const until = model.recording.states[index + 1]?.at ?? model.seconds;
    if (!inView(state.at, until)) continue;
    const unread = Object.values(state.unread).reduce((a, b) => a + b, 0), unsent = Object.values(state.unsent).reduce((a, b) => a + b, 0);
    const high = Math.max(1, (Math.min(until, model.seconds) - state.at) * scale);
    if (state.queue) out.push(`<rect class="in-queue" x="${kernel + 12}" y="${y(state.at)}" width="${Math.min(8, state.queue) * 5}" height="${high}"/>`);
    if (unread) out.push(`<rect class="unread" x="${kernel + KERNEL - 22}" y="${y(state.at)}" width="8" height="${high}"/>`);
    if (unsent) out.push(`<rect class="unsent" x="${kernel + KERNEL - 32}" y="${y(state.at)}" width="8" height="${high}"/>`);
    const words = [state.queue ? _("queue %(n)s", {n: state.queue}) : "", unread ? _("%(size)s unread", {size: sized(unread)}) : "", unsent ? _("%(size)s unsent", {size: sized(unsent)}) : ""].filter(Boolean).join(" ");
    if (words !== said && words && free("kernel", y(state.at) + 11, 22)) {
      const parts = words.split(/ (?=\d+(?:\.\d)? [kM]?B)/);
      parts.forEach((part, line) => text(kernel + 16 + Math.min(8, state.queue) * 5, y(state.at) + 11 + line * 11, part, 'class="kernel-words"'));
    }
    said = words;
  }

  // What the server does.
  for (const bar of [...model.bars].sort((a, b) => b.storm - a.storm)) {
    if (!inView(bar.from, bar.to)) continue;
    const top = y(bar.from), high = Math.max(2, (bar.to - bar.from) * scale), left = server + bar.row * ROW;
    const fill = bar.storm ? ` fill="url(#${id}-storm)"` : bar.does === "running" ? "" : ` fill="url(#${id}-${bar.does})"`;
    out.push(`<rect class="does ${bar.storm ? "storm" : bar.does}" x="${left + 2}" y="${top.toFixed(2)}" width="${ROW - 4}" height="${high.toFixed(2)}"${fill} data-n="${bar.calls[0].n}"><title>${escaped(describedBar(bar, _))}</title></rect>`);
  }
  const told = [...model.bars].filter((bar) => inView(bar.from, bar.to)).sort((a, b) => (b.does !== "running") - (a.does !== "running") || b.storm - a.storm || (b.to - b.from) - (a.to - a.from));
  for (const bar of told) {
    const waits = bar.does !== "running" || bar.storm;
    if (waits && (bar.to - bar.from) * scale < 22) continue;
    if (bar.storm && !bar.call.errno && told.some((other) => other.storm && other.call.errno && other.from < bar.to && other.to > bar.from)) continue;
    const at = y(bar.from) + (waits ? 12 : 4);
    if (!free("labels", at, 25)) continue;
    const [does, what] = labelOf(bar, _);
    text(labels, at, waits ? does : what, `class="bar-words ${bar.does}-words"`);
    if (waits) text(labels, at + 12, what, 'class="soft"');
  }

  // What went through.
  for (const arrow of model.arrows) {
    if (!inView(arrow.at)) continue;
    const left = x(arrow.lane), right = server + arrow.row * ROW + 2, at = y(arrow.at);
    const line = (x1, y1, x2, y2, kind) => out.push(`<line class="went ${kind}" x1="${x1}" y1="${y1.toFixed(1)}" x2="${x2}" y2="${y2.toFixed(1)}" marker-end="url(#${id}-head)"/>`);
    if (arrow.kind === "accept") {
      line(left, at, right, at, "let-in");
      if (free(`in${left}`, at)) text(left + 4, at - 3, _("accept"), 'class="went-words"');
    } else if (arrow.kind === "in") {
      line(kernel + KERNEL - 8, at, right, at, "came");
      if (!arrow.lane.says.length) line(left, at, kernel + 8, at, "came");
      const words = shownBytes(arrow.call.bytes, 10);
      if (!arrow.lane.says.length && free(`in${left}`, at)) text(left + 4, at - 3, words || sized(arrow.call.result), 'class="went-words"');
    } else if (arrow.kind === "out") {
      line(right, at, left + 2, at, "gone");
      if (free(`in${left}`, at)) text(left + 4, at - 3, shownBytes(arrow.call.bytes, 10) || sized(arrow.call.result), 'class="went-words"');
    } else if (arrow.kind === "close" && !arrow.lane.left) {
      if (free(`in${left}`, at)) text(left + 5, at + 4, _("closed"), 'class="soft"');
    }
  }
  for (const lane of model.lanes) {
    for (const one of lane.says) {
      if (!inView(one.at)) continue;
      out.push(`<line class="went came" x1="${x(lane)}" y1="${y(one.at)}" x2="${kernel + 8}" y2="${y(one.at)}" marker-end="url(#${id}-head)"/>`);
      if (free(`in${x(lane)}`, y(one.at))) text(x(lane) + 4, y(one.at) - 3, one.size > 64 ? sized(one.size) : shownBytes(one.bytes, 10), 'class="went-words"');
    }
  }
  out.push("</svg>");
  return out.join("");
}
