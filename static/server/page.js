// One server's page, live. Each part follows the feed and ends by itself; when the server is removed, all of them do.
import {timeline} from "./timeline.js";
import {followCalls} from "../glass/live.js";
import {followCharts} from "./charts.js";
import {followCommands} from "./commands.js";
import {followConnections} from "./connections.js";
import {followDoorway} from "./doorway.js";
import {followExceptions} from "./exceptions.js";
import {followGoing} from "./gone.js";
import {followHeadline} from "./headline.js";
import {followSettings} from "./settings.js";
import {followSource} from "./source.js";

const TOPICS = ["servers", "loop", "connections", "exceptions", "journal"];

export function mount(main, feed) {
  const place = main.querySelector("#server");
  const name = place.dataset.server;
  feed.want(TOPICS, name);
  const parts = [followHeadline, followCommands, followDoorway, followSource, followCharts, followConnections, followExceptions, timeline, followSettings, followCalls];
  let ends = parts.map((follow) => follow(place, feed, name));
  const endParts = () => {
    for (const end of ends) end();
    ends = [];
  };
  if (location.hash === "#terminals" && !("viewer" in main.dataset)) {
    // Somebody was quicker than the script that would have opened it where the button was.
    history.replaceState(null, "", location.pathname + location.search);
    import("../terminal/dock.js").then(({openTerminal}) => openTerminal(name));
  }
  const endGoing = followGoing(place, feed, name, endParts);
  return () => {
    endGoing();
    endParts();
  };
}
