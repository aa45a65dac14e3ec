// How a terminal ends, in words: what happened, and what to do. The codes and their words are the app's
// (app/terminals/close_codes.py).
import {closeCodes, codes} from "../facts.js";
import {_, fill, translate} from "../words.js";

/** The app has not refused: it was not there, or went away. No code that anything sends. */
export const LOST = 1006;

/** `what` happened, what to `advise`, whether it is `trouble`: neither of the two ends wanted it so,
 * and whether the server must be started (`needsStart`) to mend it. */
export function ending({code, reason, server, serverEndedFirst}) {
  if (code === LOST) return {what: _("the connection to the app was lost"), trouble: true};
  if (code === codes.DONE && !serverEndedFirst) return {what: _("closed: you ended, and then the server did")};
  const known = closeCodes[code];
  if (!known) return {what: _("closed with the code %(code)s", {code}), advise: reason ? translate(reason) : "", trouble: true};
  const advise = code === codes.TOO_MANY && reason ? translate(reason) : fill(known.advice, {server});
  return {what: known.happened, advise, trouble: known.trouble, needsStart: known.needsStart};
}
