// The loop's page: who has it, how late it comes, when it stood still, and what runs on it.
import {loadParts} from "../parts.js";
import {followSpan} from "../series/kept.js";
import {_} from "../words.js";

const PARTS = [
  [_("Who has it now"), async () => (await import("./shares.js")).followShares],
  [_("Lag"), async () => (await import("./lag.js")).followLag],
  [_("Stalls"), async () => (await import("./stalls.js")).followStalls],
  [_("Tasks"), async () => (await import("./tasks.js")).followTasks],
];

export async function mount(main, feed) {
  const startParts = await loadParts(PARTS);
  if (!main.isConnected) return () => {};
  feed.want(["servers", "loop"]);
  const charts = []; // what draws each of them anew
  followSpan(main.querySelector("#span"), () => {
    for (const draw of charts) draw();
  });
  return startParts(main, feed, charts);
}
