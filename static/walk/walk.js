// The guided walk: starts a step's server, says what to do, notices when it was done, says why, goes on.
import {notice, tellProblem} from "../notices.js";
import {call, serverPath} from "../rest.js";
import {_} from "../words.js";
import {paint} from "./panel.js";
import {forget, progress, remember} from "./progress.js";
import {STEPS} from "./steps.js";

const LOOK_MS = 400;

let where = null; // {step, task, on}
let name = null; // of the step's server, once it runs
let start = null; // the server as it was when the task began
let now = null;
let looking = 0;

/** Take the walk up where it was left, or begin it. */
export async function takeWalk() {
  const left = progress();
  await enter(left?.step < STEPS.length ? left : {step: 0, task: 0});
}

/** At the page's start: go on if somebody was walking when it was left. */
export async function resumeWalk() {
  if (progress()?.on) await takeWalk();
}

/** For the offer of the walk: the step to go on with, 0 to begin. */
export const stepReached = () => progress()?.step ?? 0;

async function enter({step, task}) {
  where = {step, task, on: true};
  name = start = now = null;
  remember(where);
  show();
  document.dispatchEvent(new Event("walk"));
  if (step === STEPS.length) return;
  try {
    name = await begin(`walk-${STEPS[step].variant}`, STEPS[step].variant, task);
  } catch (problem) {
    tellProblem(problem);
    leave();
    return;
  }
  clearInterval(looking);
  looking = setInterval(() => document.hidden || look(), LOOK_MS);
  await look();
}

/** The step's server, running; one that has ended is started again unless the tasks to come want it so. */
async function begin(wanted, variant, task) {
  const servers = await call("GET", "/servers");
  const there = servers.items.find((server) => server.name === wanted);
  if (!there) return (await call("POST", "/servers", {variant, name: wanted, port: 0, restart: "never"})).name;
  const done = task >= STEPS[where.step].tasks.length;
  if (there.state !== "running" && !done) await call("POST", serverPath(wanted, "start"));
  return wanted;
}

async function look() {
  const of = name;
  try {
    now = await call("GET", serverPath(of));
  } catch (problem) {
    if (problem.status === 404) {
      notice(_("The walk's server was removed; the walk is left. It can be taken up again from the servers page."));
      leave();
    }
    return; // the app may come back
  }
  if (of !== name || !where?.on) return;
  const {tasks} = STEPS[where.step];
  start ??= now;
  if (where.task < tasks.length && tasks[where.task].done(now, start)) {
    where.task += 1;
    start = now;
    remember(where);
  }
  show();
}

async function next() {
  const left = name;
  const step = where.step + 1;
  clearInterval(looking);
  if (left) call("POST", serverPath(left, "stop")).catch(() => {}); // its page and its terminals stay
  await enter({step, task: 0});
}

function leave() {
  clearInterval(looking);
  where = {...where, on: false};
  if (where.step >= STEPS.length) forget();
  else remember(where);
  show();
  document.dispatchEvent(new Event("walk"));
}

function show() {
  document.documentElement.toggleAttribute("data-walking", where.on);
  paint(where, {name, now, next, leave, skip: next});
}
