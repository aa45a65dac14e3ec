// A server's calls as they are made: the latest seconds of them, painted a few times a second while somebody looks.
import {call as rest, serverPath} from "../rest.js";
import {openStream} from "../stream.js";
import {at as place} from "../facts.js";
import {_, translate} from "../words.js";
import {TOP} from "./columns.js";
import {modelOf} from "./model.js";
import {drawn} from "./picture.js";
import {escaped, listedRow} from "./wording.js";

const SPAN = 10; // seconds shown
const MOST = 3000; // calls kept
const PAINT_MS = 250;
const LEAST_SCALE = 25; // pixels a second
const FOOT = 32; // pixels below the latest
const LISTED = 40;
const WHY = {
  stopped: () => _("The server has stopped."), removed: () => _("The server was removed."), "app ends": () => _("The app ends."),
  "too slow": () => _("This page took too long; the app let go of the lens."), failed: () => _("The lens has failed; the server goes on."),
};

export function followCalls(root, _feed, name) {
  const section = root.querySelector("#calls");
  if (!section) return () => {};
  const [look, record, picture, list, says] = ["#look", "#record", ".picture-window", ".live-list", ".says"].map((what) => section.querySelector(what));
  let close = () => {}, timer = 0, seen = null, ended = "", before = null;
  section.querySelector(".glass-tools").hidden = false;

  function open() {
    close();
    ended = "";
    seen = null;
    close = openStream(serverPath(name, "calls"), {
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
    if (!seen || document.hidden || pointedAt()) return;
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
    const model = modelOf({...seen, calls, states, connections, seconds: Math.max(0.5, Math.min(now, SPAN)), zero: 0, drawn: seen.drawn});
    seen.drawn = new Set(model.lanes.filter((lane) => lane.ids.length === 1).map((lane) => lane.ids[0]));
    picture.innerHTML = drawn(model, {scale: Math.max(LEAST_SCALE, (picture.clientHeight - TOP - FOOT) / SPAN), width: picture.clientWidth, id: "live", label: `${_("Calls of %(name)s", {name})}: ${_("the latest %(n)s seconds; the same is in the list", {n: SPAN})}`}, _);
    const rows = model.calls.filter((one) => one.call !== "wait").slice(-LISTED).reverse().map((one) => listedRow(one, model, _));
    list.innerHTML = rows.map((row) => `<li class="${row.does}"><span class="on">${escaped(row.on)}</span> <code>${escaped(row.words)}</code> <span class="took">${escaped(row.took)}${row.line ? ` · <a href="#L${row.line}">${escaped(_("line %(n)s", {n: row.line}))}</a>` : ""}</span></li>`).join("");
    section.querySelector(".folds").textContent = [seen.folding === "second" ? _("So many calls that equal ones are folded by the second; the counts are exact.") : "", seen.dropped ? _("%(n)s calls were too many to be told", {n: seen.dropped}) : ""].filter(Boolean).join(" ");
  }

  /** A shortened label, or a bar, stays while somebody points at it, and is said whole. */
  function pointedAt() {
    const it = picture.querySelector("[data-whole]:hover, .does:hover, .is-pointed");
    if (it) {
      before ??= says.textContent;
      says.textContent = it.dataset.whole ?? it.textContent;
    } else if (before !== null) {
      says.textContent = before;
      before = null;
    }
    return it;
  }

  function stepped(event) {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const labels = [...picture.querySelectorAll("[data-whole]")];
    if (!by || !labels.length || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = labels.findIndex((one) => one.matches(".is-pointed")) + by;
    released();
    const label = labels.at(next % labels.length);
    label.classList.add("is-pointed");
    label.scrollIntoView({block: "nearest", inline: "nearest"});
    pointedAt();
  }

  const released = () => picture.querySelector(".is-pointed")?.classList.remove("is-pointed");

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
  picture.addEventListener("keydown", stepped);
  picture.addEventListener("blur", released);
  look.addEventListener("click", pressed);
  record?.addEventListener("click", records);
  return () => {
    picture.removeEventListener("keydown", stepped);
    picture.removeEventListener("blur", released);
    look.removeEventListener("click", pressed);
    record?.removeEventListener("click", records);
    if (timer) stop();
  };
}
