// The header's figures, whether they are live, and the choice of a theme.
import {now} from "./clock.js";
import {root} from "./facts.js";
import {busyShare, grouped, percent, timeOfDay} from "./figures.js";
import {_} from "./words.js";

const at = (id) => document.getElementById(id);

export function followHeader(feed) {
  const words = {
    connecting: _("connecting"),
    outdated: _("this page is older than the app"),
    held: _("no news yet: a proxy on the way may hold it back"),
    live: _("live"),
    lost: _("no connection to the app; trying again"),
  };
  const showStatus = () => {
    at("live").dataset.status = feed.status;
    write("live-words", feed.status === "silent" ? silent(feed) : words[feed.status]);
  };
  feed.addEventListener("status", showStatus);
  showStatus();
  feed.follow((changes) => {
    if (changes.loop) showLoop(feed.loop);
    if (changes.servers.size) showCounts(feed.servers);
  });
  document.addEventListener("click", chooseTheme);
}

/** Frozen, or cut off: what is shown may be old. */
function silent(feed) {
  const heardAt = new Date(now() - (performance.now() - feed.heardAt)).toISOString();
  return _("nothing heard since %(time)s", {time: timeOfDay(heardAt)});
}

function showLoop(loop) {
  const busy = busyShare(loop.share);
  write("loop-busy", percent(busy));
  write("loop-lag", `${loop.lag_ms.p99.toFixed(1)} ms`);
  document.querySelector(".wheel").style.setProperty("--turned", (busy ?? 0).toFixed(2));
}

function showCounts(servers) {
  let running = 0;
  let connections = 0;
  for (const server of servers.values()) {
    running += server.state === "running";
    connections += server.connections.open + server.connections.waiting;
  }
  write("count-running", String(running));
  write("count-servers", String(servers.size));
  write("count-connections", grouped(connections));
}

function write(id, text) {
  const place = at(id);
  place.translate = false; // else a translation would stand in the place of what is written next
  if (place.textContent !== text) place.textContent = text;
}

function chooseTheme(event) {
  const link = event.target.closest?.("a[data-theme-choice]");
  if (!link || event.defaultPrevented) return;
  event.preventDefault();
  const theme = link.dataset.themeChoice;
  document.documentElement.dataset.theme = theme;
  document.cookie = `echodeck-theme=${theme}; path=${root}/; max-age=31536000; samesite=lax`;
  for (const other of document.querySelectorAll("a[data-theme-choice]")) {
    other.toggleAttribute("aria-current", false);
    if (other === link) other.setAttribute("aria-current", "true");
  }
  document.dispatchEvent(new Event("theme"));
}
