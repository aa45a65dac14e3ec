// What a picture of a server's calls is made of: lanes for its clients, bars for what the server does, arrows for what went
// through. It knows nothing of how that is drawn, nor of the page.

const BLOCKS = new Set(["accept", "recv", "recv_into", "send", "sendall", "sendmsg"]);
const MOST_LANES = 12, MOST_ROWS = 13;
const LONG = 0.0008; // seconds from which on a call counts as waiting
const GAP = 0.004, NAP = 0.02; // seconds between two bars, and between two sleeps, that look like one

/** A call from its start to its end on the recording's clock, and what the server does meanwhile. */
export function judged(call, ends) {
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
  return {recording, calls, lanes, rows, bars, arrows, names: namesOf(recording), seconds: ends, zero: recording.zero ?? 0};
}

const LEAD = 0.05; // seconds; every recording of a comparison begins so much before the script, or earlier

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

/** Of clients, by their connections: what the script calls them, or their addresses. */
function namesOf(recording) {
  return recording.clients ? Object.fromEntries(recording.clients.map((one) => [one.connection, one.name])) : recording.connections;
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
  return found.length <= MOST_LANES ? found : busiest(found, calls, recording.drawn);
}

/** Those that call most, in their order, and one lane for the others. `drawn` are ids that had a lane before: they keep it for longer. */
function busiest(lanes, calls, drawn = new Set()) {
  const counts = new Map();
  for (const call of calls) counts.set(call.on, (counts.get(call.on) ?? 0) + call.times);
  const busy = new Map(lanes.map((lane) => [lane, lane.ids.reduce((all, id) => all + (counts.get(id) ?? 0) * (drawn.has(id) ? 2 : 1), 0)]));
  const first = new Set([...lanes].sort((a, b) => busy.get(b) - busy.get(a)).slice(0, MOST_LANES));
  const rest = lanes.filter((lane) => !first.has(lane));
  return [
    ...lanes.filter((lane) => first.has(lane)),
    {name: `+ ${rest.length}`, ids: rest.flatMap((lane) => lane.ids), connected: 0, accepted: 0, left: null, says: rest.flatMap((lane) => lane.says), marks: []},
  ];
}
