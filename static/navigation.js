// Going from page to page without leaving the document, so that terminals stay open: the new page's main part takes the
// place of the old one's. Whatever goes wrong on the way, the browser does it the ordinary way; where nobody answers, the
// page stays, and its address with it.

import {at, root} from "./facts.js";
import {showProblem} from "./notices.js";
import {nobodyAnswers} from "./rest.js";
import {isOfAnother} from "./version.js";

const SWAPPED = ["#main", "nav.pages", ".choices"];
const path = () => location.pathname + location.search;
let leave = () => {};
let arrive = async () => {};
let current = path(); // of the page that is in the document: back and forward change the address before there is another
let index = 0; // of its entry in the history; each entry's state has its own, and how far it was `scrolled`
let going = 0;

/** `mount(main)` makes a page's main part live, and returns the function that ends that. */
export function begin(mount) {
  arrive = async () => {
    const main = document.getElementById("main");
    const end = (await mount(main)) ?? (() => {});
    if (main.isConnected) leave = end;
    else end(); // the reader went on before it was there
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const target = new URL(link.href);
    if (!staysHere(target) || link.target || link.hasAttribute("download")) return;
    if (target.pathname + target.search === current && target.hash) return;
    event.preventDefault();
    go(link.href, {push: true});
  });
  history.scrollRestoration = "manual";
  enter(history.state?.index ?? 0);
  addEventListener("popstate", ({state}) => {
    if (path() !== current) {
      go(location.href, {scrolled: state?.scrolled ?? 0});
      return;
    }
    going += 1; // whoever was on the way elsewhere has come back
    enter(state?.index ?? index + 1); // the browser makes an entry without a state for a fragment
  });
  return arrive();
}

/** What is chosen on the page becomes part of its address. */
export function setAddress(address) {
  if (path() !== current) return; // it is another page's by now
  history.replaceState(history.state, "", address);
  current = path();
}

/** Show the page at this address of ours. `push` is for a place in the history; `scrolled` is how far down it was left. */
export async function go(address, {push = false, scrolled = 0} = {}) {
  const target = new URL(address, location.href);
  const turn = ++going;
  let page;
  try {
    const response = await fetch(target, {headers: {accept: "text/html"}});
    page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.status > 500 && !isOurs(page)) throw new Error(response.statusText); // of a proxy before the app
  } catch {
    if (turn !== going) return;
    showProblem(nobodyAnswers()); // the browser's own error page would cost what is open here
    restoreAddress();
    return;
  }
  if (turn !== going) return; // somebody clicked elsewhere meanwhile
  if (!isOurs(page) || isOfAnother(page)) {
    if (target.href === location.href) location.reload(); // the same address with a fragment would only be scrolled to
    else location.href = target;
    return;
  }
  leave();
  leave = () => {};
  if (push) {
    if (path() === current) history.replaceState({...history.state, scrolled: scrollY}, "");
    history.pushState({index: (history.state?.index ?? index) + 1}, "", target);
  }
  current = target.pathname + target.search;
  enter(history.state?.index ?? index);
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

/** The entry that the history is at is that of the page in the document. */
function enter(entry) {
  index = entry;
  if (history.state?.index !== entry) history.replaceState({...history.state, index: entry}, "");
}

/** Back and forward have changed the address, and the page could not follow. */
function restoreAddress() {
  if (path() === current) return;
  const steps = index - history.state?.index;
  if (steps) history.go(steps);
  else location.reload(); // an entry of an earlier version: the page goes where its address is
}

const isOurs = (page) => Boolean(page.getElementById("main")?.dataset.page);

function staysHere(target) {
  const pathname = target.pathname.startsWith(at("/")) ? target.pathname.slice(root.length) : "";
  const ours = pathname === "/" || pathname === "/docs" || (pathname.startsWith("/ui/") && pathname !== "/ui/choose");
  return target.origin === location.origin && ours;
}
