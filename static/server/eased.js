// Painting that keeps the page calm and the processor cool: what changes often is painted seldom, and only where it is
// seen. A part that is scrolled out of view is painted when it comes into view.

/** `paint()` soon, at most once in `gap` ms, while `place` is in view; `paint.end()` for good. */
export function eased(place, gap, paint) {
  let due = false;
  let seen = true;
  let timer = 0;
  const run = () => {
    timer = 0;
    if (!due || !seen || document.hidden) return;
    due = false;
    timer = setTimeout(run, gap);
    paint();
  };
  const later = () => {
    due = true;
    if (!timer) run();
  };
  const observer = new IntersectionObserver(
    ([...entries]) => {
      seen = entries.at(-1).isIntersecting;
      if (seen && due && !timer) run();
    },
    {rootMargin: "200px"},
  );
  observer.observe(place);
  const shown = () => due && !timer && run();
  document.addEventListener("visibilitychange", shown);
  later.now = () => {
    clearTimeout(timer);
    timer = 0;
    later();
  };
  later.end = () => {
    due = false;
    clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("visibilitychange", shown);
  };
  return later;
}
