// The guided walk: starts a step's server, says what to do, notices when it was done, says why, goes on.
import {notice, showProblem} from "../notices.js";
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
  if (where?.on) return;
  const left = progress();
  await enter(left?.step < STEPS.length ? left : {step: 0, task: 0});
}

/** For the offer of the walk: the step to go on with, 0 to begin. */
export const stepReached = () => progress()?.step ?? 0;

async function enter({step, task}) {
  const mine = (where = {step, task, on: true});
  name = start = now = null;
  remember(where);
  show();
  document.dispatchEvent(new Event("walk"));
  if (step === STEPS.length) return;
  try {
    const begun = await begin(`walk-${STEPS[step].variant}`, STEPS[step].variant, task);
    if (where !== mine) return; // somebody went on, or left, before it ran
    start = begun;
    name = begun.name;
  } catch (problem) {
    if (where !== mine) return;
    showProblem(problem);
    leave();
    return;
  }
  clearInterval(looking);
  looking = setInterval(() => document.hidden || look(), LOOK_MS);
  await look();
}

/** The step's server as it is once it runs, before anybody can have done the task; one that has ended is started again
 * unless every task is done. */
async function begin(wanted, variant, task) {
  const servers = await call("GET", "/servers");
  const there = servers.items.find((server) => server.name === wanted);
  if (!there) return call("POST", "/servers", {variant, name: wanted, port: 0, restart: "never"});
  const done = task >= STEPS[where.step].tasks.length;
  return there.state === "running" || done ? there : call("POST", serverPath(wanted, "start"));
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
  if (where.task < tasks.length && tasks[where.task].done(now, start)) {
    where.task += 1;
    start = now;
    remember(where);
  }
  show();
}

async function next() {
  if (!name) return; // the step has just been entered
  const step = where.step + 1;
  clearInterval(looking);
  call("POST", serverPath(name, "stop")).catch(() => {}); // its page and its terminals stay
  await enter({step, task: 0});
}

/** Somebody stopped the step's server before its tasks were done. */
async function startAgain() {
  try {
    now = start = await call("POST", serverPath(name, "start"));
    show();
  } catch (problem) {
    showProblem(problem);
  }
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
  paint(where, {name, now, next, leave, skip: next, startAgain});
}
