// Parts of a page, each of which may fail by itself: its module is not found, or throws in this browser. The page says which
// part is missing, and the others go on.
import {notice} from "./notices.js";
import {_} from "./words.js";

/** Run it; returns undefined where it fails, which the page says then. `words` are what the reader knows the part by. */
export async function attempt(words, run) {
  try {
    return await run();
  } catch (failure) {
    sayMissing([words], failure);
  }
}

/**
 * Load parts: [words, load], where `load()` leads to a function that starts the part and returns what ends it. Returns
 * a function that starts all with its arguments, and returns what ends all.
 */
export async function loadParts(parts) {
  const loaded = await Promise.allSettled(parts.map(([, load]) => load()));
  return (...context) => {
    const ends = [];
    const missing = [];
    let failure;
    loaded.forEach(({value, reason}, index) => {
      try {
        if (!value) throw reason;
        ends.push(value(...context));
      } catch (thrown) {
        failure = thrown;
        missing.push(parts[index][0]);
      }
    });
    if (missing.length) ends.push(sayMissing(missing, failure));
    return () => {
      for (const end of ends.splice(0)) end();
    };
  };
}

/** Returns what takes the notice away. */
function sayMissing(parts, failure) {
  reportError(failure); // with its stack, for the browser's console
  const values = {parts: parts.join(", "), reason: failure?.message ?? failure};
  return notice(_("%(parts)s: %(reason)s. The rest of the page goes on.", values), {title: _("A part of this page is missing."), trouble: true});
}
