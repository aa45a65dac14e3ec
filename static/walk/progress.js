// How far somebody is on the walk, stored in this browser, so that it can be left and taken up again.
import {browserStore} from "../storage.js";

const KEY = "echodeck-walk";

/** `step` and `task` are the places of what is to be done next; `task` is beyond the last one when the step is done. */
export function progress() {
  const {step, task, on} = browserStore.get(KEY) ?? {};
  if (Number.isInteger(step) && Number.isInteger(task) && step >= 0 && task >= 0) return {step, task, on: on === true};
  return null;
}

export const remember = (where) => browserStore.set(KEY, where);

export const forget = () => browserStore.remove(KEY);
