// The dashboard, live: a row is patched when its server has changed and somebody looks at it, and only then.
import {at} from "../facts.js";
import {loadParts} from "../parts.js";
import {every} from "../painting/beat.js";
import {painted} from "../painting/painted.js";
import {pressed, whenReleased} from "../painting/press.js";
import {showArrivals} from "../rooms/door.js";
import {row} from "../rooms/row.js";
import {sparkline, traffic} from "../series/traffic.js";
import {_, n_} from "../words.js";

const AT_ONCE = 60;
const PARTS = [
  [_("Start a server"), async () => (await import("./start-form.js")).followStartForm],
  [_("Guided walk"), async () => (await import("./walk-offer.js")).followWalkOffer],
  [_("Nodes"), async () => (await import("../rooms/nodes.js")).followNodes],
  [_("Servers"), async () => followRooms],
  [_("Lately"), async () => (await import("./lately.js")).followLately],
];

export async function mount(main, feed) {
  const startParts = await loadParts(PARTS);
  if (!main.isConnected) return () => {};
  feed.want(["servers", "loop", "exceptions", "journal", "nodes"]);
  return startParts(main, feed, !("viewer" in main.dataset));
}

function followRooms(main, feed, mayChange) {
  const list = main.querySelector("#rooms");
  const titles = titlesOf(main);
  const rooms = new Map(); // by the server's name
  const looks = new IntersectionObserver(
    (seen) => {
      for (const {target, isIntersecting} of seen) {
        const room = rooms.get(target.dataset.server);
        if (!room) continue;
        room.near = isIntersecting;
        if (room.near) traffic.want(target.dataset.server);
        if (room.near && room.due) paint(target.dataset.server);
      }
    },
    {rootMargin: "400px"},
  );
  for (const element of list.children) enter(element.dataset.server, element);
  const find = followFind(main, rooms, feed);

  let latest = new Map();
  // Named by the template, to be given rows a few at a time once it is told what they are; in this order.
  const further = JSON.parse(main.querySelector("#further")?.textContent ?? "[]");
  const awaited = new Set(further);
  let building = 0;
  const unfollow = feed.follow((changes) => {
    const touched = new Set(changes.servers);
    if (changes.exceptions.size) {
      latest = latestExceptions(feed.exceptions);
      for (const id of changes.exceptions) {
        const server = feed.exceptions.get(id)?.server;
        if (server) touched.add(server);
      }
    }
    if (changes.snapshot) {
      build();
      for (const [name, room] of rooms) if (room.near) traffic.want(name);
    }
    if (!touched.size) return;
    for (const name of touched) hear(name);
    main.querySelector("#no-servers").hidden = feed.servers.size > 0;
    find();
  });
  const endSparks = every(1000, () => document.hidden || paintSparks(rooms));
  return () => {
    endSparks();
    clearTimeout(building);
    looks.disconnect();
    unfollow();
  };

  /** A room: its element, how it is painted, whether it is in view, whether it is due then, the server as painted here. */
  function enter(name, element) {
    const room = {element, paint: painted(element), near: false, due: "short" in element.dataset, server: null};
    rooms.set(name, room);
    looks.observe(element);
    return room;
  }

  function build() {
    for (const name of further.splice(0, AT_ONCE)) {
      awaited.delete(name);
      if (feed.servers.has(name)) hear(name);
    }
    if (further.length) building = setTimeout(build, 0);
    find();
  }

  function hear(name) {
    const server = feed.servers.get(name);
    if (!server) {
      const room = rooms.get(name);
      if (room) looks.unobserve(room.element);
      room?.element.remove();
      rooms.delete(name);
      return;
    }
    if (awaited.has(name)) return;
    const room = rooms.get(name) ?? enter(name, newRow(name, list));
    room.due = true;
    if (room.near) paint(name);
  }

  function paint(name) {
    const server = feed.servers.get(name);
    if (!server) return; // it is not told yet
    const room = rooms.get(name);
    if (!room.server && pressed()) {
      whenReleased(() => rooms.get(name) === room && paint(name));
      return;
    }
    room.due = false;
    room.element.className = `room is-${server.state}`;
    room.paint(row(server, titles[server.variant], latest.get(name), mayChange));
    if (room.server) showArrivals(room.element, room.server.connections, server.connections);
    room.server = server;
  }
}

function newRow(name, list) {
  const element = document.createElement("li");
  element.className = "room";
  element.id = `server-${name}`;
  element.dataset.server = name;
  // Enough to be found and read, until it is looked at.
  const link = document.createElement("a");
  link.href = at(`/ui/servers/${name}`);
  link.translate = false;
  link.textContent = name;
  element.append(link);
  list.append(element);
  return element;
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

function paintSparks(rooms) {
  for (const [name, {element, near}] of rooms) {
    if (!near) continue;
    const path = element.querySelector(".spark path");
    const line = sparkline(traffic.line(name)?.points.map((point) => (point.in ?? 0) + (point.out ?? 0)) ?? []);
    if (path && (path.getAttribute("d") ?? "") !== line) path.setAttribute("d", line);
  }
}

function followFind(main, rooms, feed) {
  const field = main.querySelector("#find");
  const input = field.querySelector("input");
  const found = main.querySelector("#found");
  const apply = () => {
    const wanted = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [name, {element}] of rooms) {
      const server = feed.servers.get(name);
      const text = server ? `${name} ${server.variant} ${server.port} ${server.state} ${server.node ?? ""}`.toLowerCase() : name.toLowerCase();
      const hidden = !wanted.every((word) => text.includes(word));
      if (element.hidden !== hidden) element.hidden = hidden;
      count += !hidden;
    }
    found.textContent = wanted.length ? n_("%(n)s found", "%(n)s found", count) : "";
    field.hidden = rooms.size < 5 && !wanted.length;
  };
  input.addEventListener("input", apply);
  apply();
  return apply;
}
