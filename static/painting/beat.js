// When the page paints what goes on changing: everything at the same few moments of a second, since a frame costs more
// than what has changed in it.

export const BEAT_MS = 250;

/** Milliseconds until the next of the moments that are `gap` apart; a timer may come a little early. */
export const until = (gap) => gap - (performance.now() % gap) + 1;

/** Call `run` at each of those moments; returns what ends that. */
export function every(gap, run) {
  let timer = setTimeout(turn, until(gap));
  return () => clearTimeout(timer);

  function turn() {
    timer = setTimeout(turn, until(gap));
    run();
  }
}
