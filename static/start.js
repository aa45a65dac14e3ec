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
import {attempt} from "./parts.js";
import {sayOfServers} from "./said.js";
import {traffic} from "./series/traffic.js";
import {followVersion, restoreTyped} from "./version.js";
import {progress} from "./walk/progress.js";
import {_} from "./words.js";

const PAGES = {
  dashboard: () => import("./dashboard/page.js"),
  server: () => import("./server/page.js"),
  exceptions: () => import("./exceptions/page.js"),
  loop: () => import("./loop/page.js"),
  lab: () => import("./lab/page.js"),
  glass: () => import("./glass/page.js"),
  docs: () => import("./docs/page.js"),
};

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
  const end = await attempt(_("What keeps this page up to date"), async () => {
    const page = await PAGES[main.dataset.page]?.();
    return main.isConnected ? page?.mount(main, feed) : undefined;
  });
  if (!end && main.isConnected) feed.want(["servers", "loop"]); // of which the header tells
  return end;
});
await attempt(_("What was typed before"), restoreTyped);
if (progress()?.on) await attempt(_("Guided walk"), async () => (await import("./walk/walk.js")).takeWalk());

/**
 * A browser's translation wraps the text nodes that it finds, and what is patched later would go into nodes that nobody
 * sees. So what is patched is not for it: the interface has languages of its own.
 */
function isPatched(place) {
  place.translate = false;
}
