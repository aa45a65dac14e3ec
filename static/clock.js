// The app's clock, by which ages are told: the browser's own may be days off.
import {now as loaded} from "./facts.js";

let ahead = Date.parse(loaded) - Date.now(); // ms

/** The app has just said that it is this time. */
export function set(iso) {
  ahead = Date.parse(iso) - Date.now();
}

/** Milliseconds of the epoch. */
export const now = () => Date.now() + ahead;

export const nowText = () => new Date(now()).toISOString();
