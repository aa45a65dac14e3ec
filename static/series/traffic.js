// How much each server's clients send and get, a second at a time, from the totals that the feed tells.
import {every} from "../painting/beat.js";

export const SECONDS = 120;

class Traffic {
  #rooms = new Map();

  /** Follow a feed: `rates(name)` has bytes a second, the latest last, for at most SECONDS. */
  follow(feed) {
    feed.follow((changes) => {
      // What was sent while nobody was told of it is nobody's rate: the totals of a snapshot catch up within a second.
      if (changes.snapshot) for (const room of this.#rooms.values()) room.known = false;
      for (const name of changes.servers) {
        const server = feed.servers.get(name);
        if (!server) this.#rooms.delete(name);
        else if (!this.#rooms.has(name)) this.#rooms.set(name, {in: server.bytes_in, out: server.bytes_out, rates: [], known: false});
      }
    });
    let last = performance.now();
    every(1000, () => {
      const now = performance.now();
      const passed = (now - last) / 1000;
      last = now;
      for (const [name, room] of this.#rooms) {
        const server = feed.servers.get(name);
        if (server) this.#book(room, server, passed);
      }
    });
  }

  rates(name) {
    return this.#rooms.get(name)?.rates ?? [];
  }

  #book(room, {bytes_in, bytes_out}, passed) {
    // Totals begin anew with the app.
    const rate = (now, before) => (now >= before ? now - before : now) / passed;
    if (room.known) room.rates.push({in: rate(bytes_in, room.in), out: rate(bytes_out, room.out)});
    room.known = true;
    room.in = bytes_in;
    room.out = bytes_out;
    if (room.rates.length > SECONDS) room.rates.shift();
  }
}

export const traffic = new Traffic();

/** The path of a sparkline, 60 wide and 16 high, of the latest 60 values; empty where nothing went. */
export function sparkline(values) {
  const latest = values.slice(-60);
  const most = Math.max(...latest, 0);
  if (!most) return "";
  const left = 60 - latest.length;
  // Square roots, so that a trickle shows beside a flood.
  return latest.map((value, place) => `${place ? "L" : "M"}${left + place + 0.5} ${(15 - 14 * Math.sqrt(value / most)).toFixed(1)}`).join("");
}
