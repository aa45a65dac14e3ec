// A server's calls as they are made: the latest seconds of them, painted a few times a second while somebody looks.
import {call as rest, serverPath} from "../rest.js";
import {openStream} from "../stream.js";
import {at as place} from "../facts.js";
import {_, translate} from "../words.js";
import {modelOf} from "./model.js";
import {drawn} from "./picture.js";
import {escaped, listedRow} from "./wording.js";

const SPAN = 10; // seconds shown
const MOST = 3000; // calls kept
const PAINT_MS = 250;
const SCALE = 60;
const LISTED = 40;
const WHY = {
  stopped: () => _("The server has stopped."), removed: () => _("The server was removed."), "app ends": () => _("The app ends."),
  "too slow": () => _("This page took too long; the app let go of the lens."), failed: () => _("The lens has failed; the server goes on."),
};

export function followCalls(root, _feed, name) {
  const section = root.querySelector("#calls");
  if (!section) return () => {};
  const [look, record, picture, list, says] = ["#look", "#record", ".picture-window", ".live-list", ".says"].map((what) => section.querySelector(what));
  let close = () => {}, timer = 0, seen = null, ended = "";
  section.querySelector(".glass-tools").hidden = false;

  function open() {
    close();
    ended = "";
    seen = null;
    close = openStream(serverPath(name, "calls"), {
      opened: () => {},
      heard: (event, data) => {
        if (event === "begin") begin(data);
        else if (event === "calls") take(data);
        else if (event === "end") end(WHY[data.reason]?.() ?? data.reason);
        else if (event === "dropped") end(WHY["too slow"]());
      },
      ended: () => end(ended || _("The lens is off: nobody answers, or the server does not run.")),
    });
    look.setAttribute("aria-pressed", "true");
    look.textContent = _("Stop looking");
    section.dataset.looks = "";
    timer = setInterval(paint, PAINT_MS);
    says.textContent = _("The lens is on.");
  }

  function begin(data) {
    seen = {...data, calls: new Map(), states: [{at: 0, ...data.state}], since: performance.now(), clients: null};
    if (data.unseen) says.textContent = translate(data.unseen);
  }

  function take(data) {
    if (!seen) return;
    for (const one of data.calls) {
      seen.calls.set(one.n, one);
      if (one.peer) seen.connections[one.result] = one.peer;
    }
    for (const n of seen.calls.keys()) {
      if (seen.calls.size <= MOST) break;
      seen.calls.delete(n);
    }
    seen.states.push({at: data.at, ...data.state});
    if (seen.states.length > 400) seen.states.splice(0, 200);
    seen.now = data.at;
    seen.heard = performance.now();
    seen.folding = data.folding;
    seen.dropped = data.dropped;
  }

  function paint() {
    if (!seen || document.hidden) return;
    const now = Math.max(seen.now ?? 0, (performance.now() - seen.since) / 1000 - 0.15);
    const off = Math.max(0, now - SPAN);
    const calls = [];
    for (const one of seen.calls.values()) {
      const until = one.took === null ? now : Math.max(one.at + one.took, one.last ?? 0);
      if (until < off) continue;
      const at = Math.max(0, one.at - off);
      calls.push({...one, at, took: one.took === null ? null : one.took - Math.max(0, off - one.at), ...(one.last === undefined ? {} : {last: one.last - off})});
    }
    const here = seen.states.at(-1);
    const connections = Object.fromEntries(Object.entries(seen.connections).filter(([id]) => id in here.unread || calls.some((one) => one.on === id || one.result === id)));
    const states = seen.states.filter((state, index) => (seen.states[index + 1]?.at ?? now) >= off).map((state) => ({...state, at: Math.max(0, state.at - off)}));
    const model = modelOf({...seen, calls, states, connections, seconds: Math.max(0.5, Math.min(now, SPAN)), zero: 0});
    const follows = picture.scrollHeight - picture.scrollTop - picture.clientHeight < 60;
    picture.innerHTML = drawn(model, {scale: SCALE, id: "live", label: `${_("Calls of %(name)s", {name})}: ${_("the latest %(n)s seconds; the same is in the list", {n: SPAN})}`}, _);
    if (follows) picture.scrollTop = picture.scrollHeight;
    const rows = model.calls.filter((one) => one.call !== "wait").slice(-LISTED).reverse().map((one) => listedRow(one, model, _));
    list.innerHTML = rows.map((row) => `<li class="${row.does}"><span class="on">${escaped(row.on)}</span> <code>${escaped(row.words)}</code> <span class="took">${escaped(row.took)}${row.line ? ` · <a href="#L${row.line}">${escaped(_("line %(n)s", {n: row.line}))}</a>` : ""}</span></li>`).join("");
    section.querySelector(".folds").textContent = [seen.folding === "second" ? _("So many calls that equal ones are folded by the second; the counts are exact.") : "", seen.dropped ? _("%(n)s calls were too many to be told", {n: seen.dropped}) : ""].filter(Boolean).join(" ");
  }

  function end(words) {
    ended = words;
    stop();
    says.textContent = words;
  }

  function stop() {
    close();
    close = () => {};
    paint();
    clearInterval(timer);
    timer = 0;
    look.setAttribute("aria-pressed", "false");
    look.textContent = _("Look at its calls");
    delete section.dataset.looks;
    says.textContent = "";
  }

  const pressed = () => timer ? stop() : open();
  const records = async () => {
    const seconds = Number(section.querySelector("#record-seconds").value);
    record.disabled = true;
    says.textContent = _("Recording for %(n)s s …", {n: seconds});
    try {
      const made = await rest("POST", serverPath(name, "recordings"), {seconds});
      says.innerHTML = `<a href="${place(`/ui/recordings/${encodeURIComponent(made.id)}`)}">${escaped(_("Recorded: play it in slow motion"))}</a>`;
    } catch (problem) {
      says.textContent = problem.detail ?? String(problem);
    } finally {
      record.disabled = false;
    }
  };
  look.addEventListener("click", pressed);
  record?.addEventListener("click", records);
  return () => {
    look.removeEventListener("click", pressed);
    record?.removeEventListener("click", records);
    if (timer) stop();
  };
}
