// Makes the page live: what every page has, and the script of the page that is shown.
import {keepFocus} from "./focus.js";
import {every} from "./painting/beat.js";
import {followButtons} from "./buttons.js";
import {feed} from "./feed.js";
import {writeTimes} from "./figures.js";
import {followHeader} from "./header.js";
import {loopSeries} from "./series/loop.js";
import {begin} from "./navigation.js";
import "./painting/press.js"; // from the beginning
import {sayOfServers} from "./said.js";
import {traffic} from "./series/traffic.js";
import {followVersion, restoreTyped} from "./version.js";

const PAGES = {
  dashboard: () => import("./dashboard/page.js"),
  server: () => import("./server/page.js"),
  exceptions: () => import("./exceptions/page.js"),
  loop: () => import("./loop/page.js"),
  lab: () => import("./lab/page.js"),
  glass: () => import("./glass/page.js"),
  docs: () => import("./docs/page.js"),
};
const ALWAYS = ["servers", "loop"];

document.documentElement.dataset.script = "";
followHeader(feed);
followVersion(feed);
for (const id of ["notices", "walk", "terminals"]) isPatched(document.getElementById(id));
keepFocus();
sayOfServers(feed);
followButtons();
traffic.follow(feed);
loopSeries.follow(feed);
every(1000, () => document.hidden || writeTimes(document));
await begin(async (main) => {
  isPatched(main);
  const page = await PAGES[main.dataset.page]?.();
  if (!page || main.dataset.page === "docs") feed.want(ALWAYS);
  return page?.mount(main, feed);
});
await restoreTyped();
if (localStorage.getItem("echodeck-walk")) (await import("./walk/walk.js")).resumeWalk();

/**
 * A browser's translation wraps the text nodes that it finds, and what is patched later would go into nodes that nobody
 * sees. So what is patched is not for it: the interface has languages of its own.
 */
function isPatched(place) {
  place.translate = false;
}
