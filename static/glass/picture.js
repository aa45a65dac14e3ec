// The picture of a server's calls: a sequence diagram, time downward. Lanes for its clients, the kernel, and the server;
// what a call took is a bar, what went through an arrow. It knows nothing of the page, so that a file can carry it.

const BLOCKS = new Set(["accept", "recv", "recv_into", "send", "sendall", "sendmsg"]);
const MOST_LANES = 8, MOST_ROWS = 5;
const LANE = 46, KERNEL = 82, ROW = 24, AXIS = 46, LABELS = 168, APART = 13;
export const TOP = 46;
const LONG = 0.0008; // seconds from which on a call counts as waiting
const GAP = 0.004, NAP = 0.02; // seconds between two bars, and between two sleeps, that look like one

export const escaped = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

export function shownBytes(base64, most = 12) {
  if (!base64) return "";
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  let text = "";
  for (const char of new TextDecoder().decode(bytes.slice(0, most))) {
    const code = char.codePointAt(0);
    if (char === "\n") text += "\\n";
    else if (char === "\r") text += "\\r";
    else if (char === "\t") text += "\\t";
    else if (code < 32 || (code > 126 && code < 161) || /[\p{C}\p{Z}]/u.test(char) && char !== " ") text += `\\x${code.toString(16).padStart(2, "0")}`;
    else text += char;
  }
  return bytes.length > most ? `${text}…` : text;
}

export const sized = (bytes) => bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

export function spanned(seconds) {
  if (seconds === null) return "…";
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 0.001 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${Math.round(seconds * 1e6)} µs`;
}

/** A call from its start to its end on the recording's clock, and what the server does meanwhile. */
function judged(call, ends) {
  const took = call.took ?? Math.max(0, ends - call.at);
  const span = call.times > 1 ? Math.max(took, call.last - call.at + took / call.times) : took;
  const waits = call.call === "wait" || call.call === "select";
  let does = "running";
  if (waits && took > LONG && took > span / 2) does = "sleeping";
  else if (BLOCKS.has(call.call) && took > LONG && call.times === 1) does = "blocked";
  const storm = call.times >= 50 && does === "running";
  return {call, from: call.at, to: call.at + span, does, storm};
}

const rowOf = (call, loops) => loops ? "loop" : call.thread;

/** What is to be drawn, of a recording or of the part of one that is there so far. */
export function modelOf(whole) {
  const recording = fromZero(whole);
  const ends = recording.seconds;
  const calls = [...recording.calls].sort((a, b) => a.at - b.at || a.n - b.n);
  const loops = recording.runs_on === "loop";
  const lanes = lanesOf(recording, calls);
  const byId = new Map(lanes.flatMap((lane) => lane.ids.map((id) => [id, lane])));
  const rows = [];
  const bars = [], arrows = [];
  const latest = new Map();
  for (const call of calls) {
    const one = judged(call, ends);
    const name = rowOf(call, loops);
    let row = rows.indexOf(name);
    if (row < 0) row = rows.length < MOST_ROWS ? rows.push(name) - 1 : MOST_ROWS - 1;
    one.row = row;
    const before = latest.get(row);
    const between = before ? one.from - before.to : Infinity;
    if (call.call === "wait" && one.does === "running" && !one.storm) {
      // The loop looked whether anybody is ready, and went on with somebody else.
      if (before?.does === "sleeping" && between < NAP) before.to = Math.max(before.to, one.to);
      continue;
    }
    if (before && before.does === one.does && !one.storm && (one.does === "running" ? between < GAP : one.does === "sleeping" && between < NAP)) {
      before.to = Math.max(before.to, one.to);
      before.calls.push(call);
    } else {
      const bar = {...one, calls: [call]};
      bars.push(bar);
      if (!one.storm) latest.set(row, bar);
    }
    const lane = byId.get(call.call === "accept" ? call.result : call.on);
    if (!lane || call.errno) continue;
    const when = call.at + (call.took ?? 0);
    if (call.call === "accept") arrows.push({kind: "accept", at: when, lane, row, call});
    else if (call.call.startsWith("recv") && call.took !== null) arrows.push({kind: call.result ? "in" : "end", at: when, lane, row, call});
    else if (call.call.startsWith("send") && call.result) arrows.push({kind: "out", at: when, lane, row, call});
    else if (call.call === "close") arrows.push({kind: "close", at: when, lane, row, call});
  }
  for (const bar of bars) {
    if (bar.does !== "running" || bar.storm || bar.calls.length < 50) continue;
    const nothing = bar.calls.filter((call) => call.errno === "EAGAIN" || (call.call === "select" && !call.result));
    if (nothing.length < bar.calls.length * 0.9) continue;
    const [often] = nothing.filter((call) => call.errno);
    const call = often ?? nothing[0];
    bar.storm = true;
    bar.call = {...call, times: nothing.reduce((all, one) => all + (one.call === call.call && one.on === call.on ? one.times : 0), 0)};
  }
  return {recording, calls, lanes, rows, bars, arrows, seconds: ends, zero: recording.zero ?? 0};
}

const LEAD = 0.1;

/** The same from shortly before the script began, so that all recordings of a comparison have one time axis. */
function fromZero(recording) {
  const off = (recording.zero ?? 0) - LEAD;
  if (off <= 0) return recording;
  const moved = (one) => {
    const at = Math.max(0, one.at - off);
    return {...one, at, took: one.took === null ? null : Math.max(0, one.took - Math.max(0, off - one.at)), ...(one.last === undefined ? {} : {last: Math.max(at, one.last - off)})};
  };
  const past = recording.states.filter((state) => state.at <= off);
  return {
    ...recording, zero: LEAD, seconds: Math.max(0.1, recording.seconds - off),
    calls: recording.calls.filter((call) => call.took === null || Math.max(call.at + call.took, call.last ?? 0) > off).map(moved),
    states: [...past.slice(-1), ...recording.states.slice(past.length)].map((state) => ({...state, at: Math.max(0, state.at - off)})),
    clients: recording.clients?.map((client) => ({...client, did: client.did.map((step) => ({...step, at: Math.max(0, step.at - off)}))})) ?? null,
  };
}

function lanesOf(recording, calls) {
  const found = [];
  if (recording.clients) {
    for (const one of recording.clients) {
      const done = (verb) => one.did.find((step) => step.does === verb && !step.error);
      const left = one.did.find((step) => ["leave", "reset"].includes(step.does));
      found.push({
        name: one.name, ids: one.connection ? [one.connection] : [], connected: done("connect")?.at ?? null,
        accepted: null, left: left?.at ?? null,
        says: one.did.filter((step) => step.size !== undefined && step.size !== null && step.does !== "read").map((step) => ({at: step.at, bytes: step.bytes, size: step.size})),
        marks: one.did.filter((step) => ["half-close", "reset", "leave"].includes(step.does) || step.error),
      });
    }
  } else {
    for (const [id, peer] of Object.entries(recording.connections)) {
      found.push({name: peer, ids: [id], connected: 0, accepted: 0, left: null, says: [], marks: []});
    }
  }
  const byId = new Map(found.flatMap((lane) => lane.ids.map((id) => [id, lane])));
  for (const call of calls) {
    if (call.call === "accept" && call.result && byId.has(call.result)) {
      const lane = byId.get(call.result);
      lane.accepted = call.at + (call.took ?? 0);
      if (!recording.clients) lane.connected = lane.accepted;
    } else if (call.call === "close" && byId.has(call.on)) byId.get(call.on).closed = call.at;
  }
  if (found.length <= MOST_LANES) return found;
  const rest = found.splice(MOST_LANES - 1);
  found.push({name: `+ ${rest.length}`, ids: rest.flatMap((lane) => lane.ids), connected: 0, accepted: 0, left: null, says: rest.flatMap((lane) => lane.says), marks: []});
  return found;
}

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

export function doesWords(does, _) {
  if (does === "blocked") return _("blocked");
  return does === "sleeping" ? _("asleep until something is ready") : _("running");
}

const describedBar = (bar, _) => labelOf(bar, _).filter(Boolean).join(": ");

/** A word for what the server does, and what it does in particular. */
function labelOf(bar, _) {
  const {call} = bar;
  const line = call.line ? ` · ${_("line %(n)s", {n: call.line})}` : "";
  if (bar.storm) return [_("running, finding nothing"), `${call.call} → ${call.errno ?? call.result} × ${call.times.toLocaleString("en")}`];
  if (bar.does === "blocked") return [_("blocked"), `${call.call}${line} · ${spanned(bar.to - bar.from)}`];
  if (bar.does === "sleeping") return [`${_("asleep")} · ${spanned(bar.to - bar.from)}`, _("until something is ready")];
  const own = bar.calls.filter((one) => one.call !== "wait");
  const lines = [...new Set(own.map((one) => one.line).filter(Boolean))];
  const counts = new Map();
  for (const one of own) counts.set(one.call, (counts.get(one.call) ?? 0) + one.times);
  const names = [...counts].map(([name, times]) => times > 1 ? `${name} ×${times.toLocaleString("en")}` : name);
  return ["", `${names.slice(0, 4).join(", ")}${names.length > 4 ? "…" : ""}${lines.length === 1 ? ` · ${_("line %(n)s", {n: lines[0]})}` : ""}`];
}

/** `recv(65536) → 6 "hello\n"`, as strace writes it. */
export function outcome(call, _) {
  const args = Object.entries(call.args).map(([name, value]) => name === "timeout" ? (value === null ? _("for ever") : value === 0 ? "0" : `${value} s`) : String(value)).join(", ");
  const result = call.took === null ? "…" : call.errno ?? (call.result === null ? "?" : call.result);
  return `${call.call}(${args}) → ${result}`;
}

/** A row of the list: when, on what, what, how long. */
export function listedRow(call, model, _) {
  const one = judged(call, model.seconds);
  const does = one.does === "running" && !one.storm ? "" : doesWords(one.does, _);
  return {
    n: call.n, at: call.at - model.zero, does: one.does, on: call.on,
    words: `${outcome(call, _)}${call.bytes ? ` "${shownBytes(call.bytes, 32)}"` : ""}${call.times > 1 ? ` × ${call.times.toLocaleString("en")}` : ""}`,
    took: `${spanned(call.took)}${does ? `, ${does}` : ""}`, line: call.line, who: call.task ?? call.thread,
  };
}
