// Painting that keeps the page calm and the processor cool: what changes often is painted seldom, and what is scrolled
// out of view more seldom still, but not never: the page may be searched, or be read aloud.
import {until} from "./beat.js";

const UNSEEN_MS = 2000;

/** `paint()` soon, at most once in `gap` ms while `place` is in view; `paint.now()` at once, `paint.end()` for good. */
export function eased(place, gap, paint) {
  let due = false;
  let seen = true;
  let timer = 0;
  const run = () => {
    timer = 0;
    if (!due || document.hidden) return;
    due = false;
    timer = setTimeout(run, until(seen ? gap : Math.max(gap, UNSEEN_MS)));
    paint();
  };
  const later = () => {
    due = true;
    if (!timer) run();
  };
  later.now = () => {
    clearTimeout(timer);
    timer = 0;
    later();
  };
  const observer = new IntersectionObserver(
    (entries) => {
      const comes = entries.at(-1).isIntersecting && !seen;
      seen = entries.at(-1).isIntersecting;
      if (comes && due) later.now();
    },
    {rootMargin: "200px"},
  );
  observer.observe(place);
  const shown = () => due && later.now();
  document.addEventListener("visibilitychange", shown);
  later.end = () => {
    due = false;
    clearTimeout(timer);
    timer = -1;
    observer.disconnect();
    document.removeEventListener("visibilitychange", shown);
  };
  return later;
}
