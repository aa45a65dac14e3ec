// The dashboard, live: each row is patched when its server changes, and only then.
import {tellTimes} from "../figures.js";
import {render} from "../lit.js";
import {showArrivals} from "../rooms/door.js";
import {row} from "../rooms/row.js";
import {sparkline, traffic} from "../rooms/traffic.js";
import {_, n_} from "../words.js";
import {followLately} from "./lately.js";
import {followStartForm} from "./start-form.js";
import {followWalkOffer} from "./walk-offer.js";

export function mount(main, feed) {
  const rooms = main.querySelector("#rooms");
  const titles = titlesOf(main);
  const painted = new Map(); // by name: the element, and the state that it shows once it was painted here
  const mayChange = !("viewer" in main.dataset);
  for (const element of rooms.children) painted.set(element.dataset.server, {element, server: null});
  const find = followFind(main, painted, feed);

  feed.want(["servers", "loop", "exceptions", "journal"]);
  const ends = [
    feed.follow((changes) => {
      const touched = new Set(changes.servers);
      for (const id of changes.exceptions) {
        const server = feed.exceptions.get(id)?.server;
        if (server) touched.add(server);
      }
      if (!touched.size) return;
      const latest = latestExceptions(feed.exceptions);
      for (const name of touched) paint(name, latest.get(name));
      main.querySelector("#no-servers").hidden = feed.servers.size > 0;
      find();
    }),
    followLately(main, feed),
    followWalkOffer(main, feed),
    mayChange ? followStartForm(main.querySelector("#start")) : () => {},
  ];
  const sparks = setInterval(() => document.hidden || paintSparks(painted), 1000);
  return () => {
    clearInterval(sparks);
    for (const end of ends) end();
  };

  function paint(name, exception) {
    const server = feed.servers.get(name);
    let room = painted.get(name);
    if (!server) {
      room?.element.remove();
      painted.delete(name);
      return;
    }
    if (!room) {
      room = {element: document.createElement("li"), server: null};
      room.element.id = `server-${name}`;
      room.element.dataset.server = name;
      rooms.append(room.element);
      painted.set(name, room);
    }
    if (!room.server) room.element.replaceChildren(); // the first paint was the template's
    room.element.className = `room is-${server.state}`;
    render(row(server, titles[server.variant], exception, mayChange), room.element);
    tellTimes(room.element);
    if (room.server) showArrivals(room.element, room.server.connections, server.connections);
    room.server = server;
  }
}

function titlesOf(main) {
  const titles = {};
  for (const option of main.querySelectorAll("[data-title]")) titles[option.dataset.variant ?? option.value] = option.dataset.title;
  return titles;
}

function latestExceptions(exceptions) {
  const latest = new Map();
  for (const one of exceptions.values()) {
    const known = latest.get(one.server);
    if (!known || known.at < one.at) latest.set(one.server, one);
  }
  return latest;
}

function paintSparks(painted) {
  for (const [name, {element}] of painted) {
    const path = element.querySelector(".spark path");
    const line = sparkline(traffic.rates(name).map((rate) => rate.in + rate.out));
    if (path && (path.getAttribute("d") ?? "") !== line) path.setAttribute("d", line);
  }
}

function followFind(main, painted, feed) {
  const field = main.querySelector("#find");
  const input = field.querySelector("input");
  const found = main.querySelector("#found");
  const apply = () => {
    const wanted = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [name, {element}] of painted) {
      const server = feed.servers.get(name);
      const text = server ? `${name} ${server.variant} ${server.port} ${server.state}`.toLowerCase() : name.toLowerCase();
      const hidden = !wanted.every((word) => text.includes(word));
      if (element.hidden !== hidden) element.hidden = hidden;
      count += !hidden;
    }
    found.textContent = wanted.length ? n_("%(n)s found", "%(n)s found", count) : "";
    field.hidden = painted.size < 5 && !wanted.length;
  };
  input.addEventListener("input", apply);
  apply();
  return apply;
}
