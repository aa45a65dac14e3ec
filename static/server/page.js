// One server's page, live. Each part follows the feed and ends by itself; when the server is removed, all of them do.
import {setAddress} from "../navigation.js";
import {attempt, loadParts} from "../parts.js";
import {_} from "../words.js";
import {followGoing} from "./gone.js";

const TOPICS = ["servers", "loop", "connections", "exceptions", "journal"];
const PARTS = [
  [_("State"), async () => (await import("./headline.js")).followHeadline],
  [_("Buttons"), async () => (await import("./commands.js")).followCommands],
  [_("The door"), async () => (await import("./doorway.js")).followDoorway],
  [_("Source"), async () => (await import("./source.js")).followSource],
  [_("Charts"), async () => (await import("./charts.js")).followCharts],
  [_("Connections"), async () => (await import("./connections.js")).followConnections],
  [_("Exceptions"), async () => (await import("./exceptions.js")).followExceptions],
  [_("What happened"), async () => (await import("./timeline.js")).timeline],
  [_("Settings"), async () => (await import("./settings.js")).followSettings],
  [_("Calls"), async () => (await import("../glass/live.js")).followCalls],
];

export async function mount(main, feed) {
  const place = main.querySelector("#server");
  const name = place.dataset.server;
  const startParts = await loadParts(PARTS);
  if (!main.isConnected) return () => {};
  feed.want(TOPICS, name);
  const endParts = startParts(place, feed, name);
  if (location.hash === "#terminals" && !("viewer" in main.dataset)) {
    // Somebody was quicker than the script that would have opened it where the button was.
    setAddress(location.pathname + location.search);
    attempt(_("Terminals"), async () => (await import("../terminal/dock.js")).openTerminal(name));
  }
  const endGoing = followGoing(place, feed, name, endParts);
  return () => {
    endGoing();
    endParts();
  };
}
