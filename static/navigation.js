// Going from page to page without leaving the document, so that terminals stay open: the new page's main part takes the
// place of the old one's. Whatever goes wrong on the way, the browser does it the ordinary way.

import {at, root} from "./facts.js";
import {showProblem} from "./notices.js";
import {nobodyAnswers} from "./rest.js";
import {isOfAnother} from "./version.js";

const SWAPPED = ["#main", "nav.pages", ".choices"];
let leave = () => {};
let arrive = () => {};
let arriving = Promise.resolve();
let shown = location.pathname + location.search;
let going = 0;

/** `mount(main)` makes a page's main part live, and returns the function that ends that. */
export function begin(mount) {
  arrive = () => {
    arriving = (async () => {
      leave = (await mount(document.getElementById("main"))) ?? (() => {});
    })();
    return arriving;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const target = new URL(link.href);
    if (!staysHere(target) || link.target || link.hasAttribute("download")) return;
    if (target.pathname + target.search === shown && target.hash) return;
    event.preventDefault();
    go(link.href, {push: true});
  });
  history.scrollRestoration = "manual";
  addEventListener("popstate", (event) => {
    if (location.pathname + location.search !== shown) go(location.href, {scrolled: event.state?.scrolled ?? 0});
  });
  return arrive();
}

/** Show the page at this address of ours. `push` is for a place in the history; `scrolled` is how far down it was left. */
export async function go(address, {push = false, scrolled = 0} = {}) {
  const target = new URL(address, location.href);
  const turn = ++going;
  let page;
  try {
    const response = await fetch(target, {headers: {accept: "text/html"}});
    page = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    if (turn === going) showProblem(nobodyAnswers()); // the browser's own error page would cost what is open here
    return;
  }
  await arriving.catch(() => {}); // what is not yet mounted could not be left
  if (turn !== going) return; // somebody clicked elsewhere meanwhile
  if (!page?.getElementById("main")?.dataset.page || isOfAnother(page)) {
    location.href = target;
    return;
  }
  leave();
  leave = () => {};
  if (push) {
    history.replaceState({scrolled: scrollY}, "");
    history.pushState(null, "", target);
  }
  shown = target.pathname + target.search;
  document.title = page.title;
  for (const place of SWAPPED) {
    document.querySelector(place).replaceWith(document.adoptNode(page.querySelector(place)));
  }
  const main = document.getElementById("main");
  main.focus({preventScroll: true});
  await arrive();
  if (turn !== going) return;
  const anchor = target.hash && document.getElementById(target.hash.slice(1));
  if (anchor) anchor.scrollIntoView();
  else scrollTo(0, scrolled);
}

function staysHere(target) {
  const pathname = target.pathname.startsWith(at("/")) ? target.pathname.slice(root.length) : "";
  const ours = pathname === "/" || pathname === "/docs" || (pathname.startsWith("/ui/") && pathname !== "/ui/choose");
  return target.origin === location.origin && ours;
}
