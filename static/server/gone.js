// A server that is removed while its page is open: the page says so, and where its traces are.
import {isAt, root} from "../facts.js";
import {html, render} from "../painting/lit.js";
import {go} from "../navigation.js";
import {call, serverPath} from "../rest.js";
import {_} from "../words.js";

/** Calls `end` once it is gone; if a server of that name comes again, its page is shown anew. */
export function followGoing(place, feed, name, end) {
  let gone = false;
  const leave = () => {
    if (gone) return;
    gone = true;
    end();
    feed.want(["servers", "loop"]); // a stream of a server that is not there would be refused for ever
    const note = document.createElement("section");
    note.className = "empty gone";
    place.replaceChildren(note);
    place.className = "server";
    render(view(name), note);
  };
  const ask = async () => {
    if (feed.status !== "lost" || gone) return;
    const problem = await call("GET", serverPath(name)).then(() => null, (failed) => failed);
    if (problem?.status === 404) leave();
  };
  feed.addEventListener("status", ask);
  const unfollow = feed.follow((changes) => {
    if (!changes.servers.has(name)) return;
    if (!feed.servers.has(name)) leave();
    else if (gone && isAt(`/ui/servers/${encodeURIComponent(name)}`)) go(location.href);
  });
  return () => {
    feed.removeEventListener("status", ask);
    unfollow();
  };
}

const view = (name) => html`<h1><span translate="no">${name}</span></h1>
  <p><b>${_("This server was removed.")}</b> ${_("Nothing of it runs any more; what it raised stays where exceptions are. Should a server of this name be started, it appears here.")}</p>
  <p><a href="${root}/">${_("All servers")}</a> · <a href="${root}/ui/exceptions?server=${encodeURIComponent(name)}">${_("Its exceptions")}</a></p>`;
