// How far somebody is on the walk, kept in this browser, so that it can be left and taken up again.

const KEY = "echodeck-walk";

/** `step` and `task` are the places of what is to be done next; `task` is beyond the last one when the step is done. */
export function progress() {
  try {
    const {step, task, on} = JSON.parse(localStorage.getItem(KEY)) ?? {};
    if (Number.isInteger(step) && Number.isInteger(task) && step >= 0 && task >= 0) return {step, task, on: on === true};
  } catch {
    // what is there is not ours
  }
  return null;
}

export function remember(where) {
  localStorage.setItem(KEY, JSON.stringify(where));
}

export function forget() {
  localStorage.removeItem(KEY);
}
