// How much each server's clients send and get: what the app has kept, and a second at a time, from the totals that the
// feed tells.
import {every} from "../painting/beat.js";
import {serverPath} from "../rest.js";
import {Line} from "./kept.js";

const AT_ONCE = 4; // requests

class Traffic {
  #rooms = new Map();
  #queue = [];
  #asking = 0;

  /** Follow a feed: `line(name)` has points {at, in, out}, in bytes a second. */
  follow(feed) {
    feed.follow((changes) => {
      if (changes.snapshot) {
        for (const room of this.#rooms.values()) {
          // What was sent while nobody was told of it is nobody's rate: totals of a snapshot catch up within a second.
          room.known = false;
          room.line.forget();
        }
      }
      for (const name of changes.servers) {
        const server = feed.servers.get(name);
        if (!server) this.#rooms.delete(name);
        else if (!this.#rooms.has(name)) this.#rooms.set(name, {in: server.bytes_in, out: server.bytes_out, line: newLine(name), known: false});
      }
    });
    let last = performance.now();
    every(1000, () => {
      const now = performance.now();
      const passed = (now - last) / 1000;
      last = now;
      for (const [name, room] of this.#rooms) {
        const server = feed.servers.get(name);
        if (server) book(room, server, passed);
      }
    });
  }

  /** Undefined while the feed has not told of the server. */
  line(name) {
    return this.#rooms.get(name)?.line;
  }

  /** Have the line filled with what the app has kept, when it is its turn. */
  want(name) {
    if (!this.#queue.includes(name)) this.#queue.push(name);
    this.#ask();
  }

  async #ask() {
    while (this.#asking < AT_ONCE && this.#queue.length) {
      this.#asking++;
      await this.line(this.#queue.pop())?.fill(); // the latest first: it is what is looked at now
      this.#asking--;
    }
  }
}

export const traffic = new Traffic();

const newLine = (name) =>
  new Line(`${serverPath(name, "series")}?`, ({every: step, bytes_in, bytes_out}, index) => ({in: rate(bytes_in[index], step), out: rate(bytes_out[index], step)}));

const rate = (bytes, step) => (bytes === null ? null : bytes / step);

function book(room, {bytes_in, bytes_out}, passed) {
  // Totals begin anew with the app.
  const gone = (now, before) => (now >= before ? now - before : now) / passed;
  if (room.known && room.line.wanted) room.line.add({in: gone(bytes_in, room.in), out: gone(bytes_out, room.out)});
  room.known = true;
  room.in = bytes_in;
  room.out = bytes_out;
}

/** The path of a sparkline, 60 wide and 16 high, of the latest 60 values; empty where nothing went. */
export function sparkline(values) {
  const latest = values.slice(-60);
  const most = Math.max(...latest, 0);
  if (!most) return "";
  const left = 60 - latest.length;
  // Square roots, so that a trickle shows beside a flood.
  return latest.map((value, place) => `${place ? "L" : "M"}${left + place + 0.5} ${(15 - 14 * Math.sqrt(value / most)).toFixed(1)}`).join("");
}
