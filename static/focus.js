// Where the focus goes when what had it goes away.
const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled, [type=hidden]), select:not(:disabled), textarea:not(:disabled), [tabindex]";
const LISTS = "ul, ol, tbody";

/** The focus stays on what was acted on, or goes to its neighbour; without this it falls to the body, and to the page's top. */
export function keepFocus() {
  let last = null; // what has the focus, and the way from it up to the body: each with its place among its siblings
  document.addEventListener("focusin", ({target}) => {
    last = {element: target, way: wayUp(target)};
  });
  document.addEventListener("focusout", ({target}) => {
    const left = last;
    // Whoever leaves for the page's ground means it; what is taken away, or cannot be used any more, did not leave.
    setTimeout(() => {
      if (last === left && isThere(target) && document.activeElement === document.body) last = null;
    });
  });
  new MutationObserver(() => {
    if (!last || document.activeElement !== document.body || isThere(last.element)) return;
    const found = successor(last);
    last = null;
    if (!found) return;
    if (!found.matches(FOCUSABLE)) found.tabIndex = -1;
    found.focus({preventScroll: true});
  }).observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ["disabled", "hidden"]});
}

function wayUp(element) {
  const way = [];
  for (let node = element; node && node !== document.body; node = node.parentElement) {
    way.push({node, place: node.parentElement ? [...node.parentElement.children].indexOf(node) : 0});
  }
  return way;
}

const isThere = (element) => element.isConnected && !element.disabled && element.getClientRects().length > 0;

function successor({element, way}) {
  const step = way.findIndex(({node}, index) => index > 0 && isThere(node));
  if (step < 0) return document.querySelector("#main h1, #main h2");
  const {node} = way[step];
  if (node.matches(LISTS)) {
    const beside = node.children[Math.min(way[step - 1].place, node.children.length - 1)];
    return (beside && (beside.querySelector(FOCUSABLE) ?? beside)) || headingOf(node);
  }
  if (node.id === "main" || node.id === "top") return document.querySelector("#main h1, #main h2");
  const same = element.name && node.querySelector(`[name="${CSS.escape(element.name)}"]:not(:disabled)`);
  return same || [...node.querySelectorAll(FOCUSABLE)].find(isThere) || headingOf(node);
}

const headingOf = (node) => node.closest("section, article")?.querySelector("h1, h2") ?? document.querySelector("#main h1, #main h2");
