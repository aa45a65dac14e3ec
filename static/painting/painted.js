// From the first paint, which is the template's, to the script's: the one way of taking a place over. Both look the same,
// and a test holds each place that is taken over (`data-painted`) against what the template painted there.
import {writeTimes} from "../figures.js";
import {render} from "./lit.js";

/** Returns `paint(view)`, which shows a view of lit's in this place; the first time it replaces the template's. */
export function painted(place) {
  return (view) => {
    if (!("painted" in place.dataset)) {
      place.replaceChildren();
      place.dataset.painted = "";
    }
    render(view, place);
    writeTimes(place);
  };
}
