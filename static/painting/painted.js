// From the first paint, which is the template's, to the script's: the one way of taking a place over. Both look the same,
// and a test holds each place that is taken over against what the template painted there.
import {writeTimes} from "../figures.js";
import {render} from "./lit.js";

/** The places that are no longer the template's. */
export const takenOver = new WeakSet();

/** Returns `paint(view)`, which shows a view of lit's in this place; the first time it replaces the template's. */
export function painted(place) {
  return (view) => {
    if (!takenOver.has(place)) place.replaceChildren();
    takenOver.add(place);
    render(view, place);
    writeTimes(place);
  };
}
