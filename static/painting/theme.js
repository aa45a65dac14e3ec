// When what a canvas has drawn must be drawn anew: it knows no style sheet, and the page's colours are others now.

const MEDIA = [matchMedia("(prefers-color-scheme: dark)"), matchMedia("print")];

/** Call `changed` whenever the page's colours are others: by choice, by the system, or on paper. Returns the function that ends that. */
export function followTheme(changed) {
  document.addEventListener("theme", changed);
  for (const one of MEDIA) one.addEventListener("change", changed);
  return () => {
    document.removeEventListener("theme", changed);
    for (const one of MEDIA) one.removeEventListener("change", changed);
  };
}
