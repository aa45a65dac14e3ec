// The lab's pages: what the app paints is put in place again whenever an experiment has got further.
import {eased} from "../painting/eased.js";

const PLACES = ["#progress", "#end", "#told", "#found", "#runs"];
const PAINT_MS = 500;

export function mount(main, feed) {
  feed.want(["servers", "loop", "lab"]);
  const address = location.href;
  const shown = main.querySelector("#experiment")?.dataset.experiment;
  let over = false;
  const paint = eased(main, PAINT_MS, async () => {
    let page;
    try {
      const response = await fetch(address, {headers: {accept: "text/html"}});
      if (!response.ok) return;
      page = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      return; // the header says that nobody answers
    }
    if (over) return;
    for (const place of PLACES) {
      const [old, fresh] = [main.querySelector(place), page.querySelector(place)];
      if (old && fresh && old.innerHTML !== fresh.innerHTML) old.replaceWith(document.adoptNode(fresh));
    }
  });
  const unfollow = feed.follow((changes) => {
    if (shown ? changes.lab.has(shown) : changes.lab.size) paint();
  });
  return () => {
    over = true;
    unfollow();
    paint.end();
  };
}
