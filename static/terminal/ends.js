// How a terminal ends, in words: what happened, and what to do. By the codes of app/terminals/bridge.py.
import {_, translate} from "../words.js";

export const CODE = {done: 1000, tooBig: 1009, bug: 1011, appStops: 1012, tooMany: 1013, refused: 4000, timedOut: 4001, stopped: 4002, reset: 4003, idle: 4004, overdrawn: 4005};

/** The app has not refused: it was not there, or went away. */
export const LOST = 1006;

/** `what` happened, what to `advise`, whether it is `trouble`: neither of the two ends wanted it so,
 * and whether the server must be started (`needsStart`) to mend it. */
export function ending({code, reason, server, serverEndedFirst}) {
  switch (code) {
    case CODE.done:
      return serverEndedFirst ? {what: _("closed by the server")} : {what: _("closed: you ended, and then the server did")};
    case CODE.tooBig:
      return {what: _("closed: a message was larger than 1 MiB"), trouble: true};
    case CODE.bug:
      return {what: _("closed by a bug in the app"), advise: _("Its log says more."), trouble: true};
    case CODE.appStops:
      return {what: _("closed: the app is stopping")};
    case CODE.tooMany:
      return {what: _("not opened: too many terminals"), advise: reason ? translate(reason) : _("Close one, then reconnect."), trouble: true};
    case CODE.refused:
      return {what: _("refused: nobody listens there"), advise: _("Start %(server)s, then reconnect.", {server}), trouble: true, needsStart: true};
    case CODE.timedOut:
      return {what: _("no answer: the server's backlog is full"), advise: _("Let a client leave, then reconnect."), trouble: true};
    case CODE.stopped:
      return {what: _("closed: the server was stopped"), needsStart: true};
    case CODE.reset:
      return {what: _("reset by the server"), advise: _("It hung up with bytes still unread, or broke."), trouble: true};
    case CODE.idle:
      return {what: _("closed: the server had ended, and nothing was sent for long")};
    case CODE.overdrawn:
      return {what: _("closed by a bug in this page"), advise: _("It granted more than came."), trouble: true};
    case LOST:
      return {what: _("the connection to the app was lost"), trouble: true};
    default:
      return {what: _("closed with the code %(code)s", {code}), advise: reason ? translate(reason) : "", trouble: true};
  }
}
