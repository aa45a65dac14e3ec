// The terminals that are open, and what happens in them, for whoever wants to know.
import {Terminal} from "./terminal.js";

/**
 * Events: "change" (of the list, or of a terminal's state), and "sent", "received", "closed"; the terminal is their `detail`.
 */
class Terminals extends EventTarget {
  list = [];
  left = false;

  open(server) {
    const number = 1 + Math.max(0, ...this.list.filter((one) => one.server === server).map((one) => one.number));
    const terminal = new Terminal(server, number, (type, detail) => this.#notify(type, detail));
    this.list = [...this.list, terminal];
    terminal.connect();
    return terminal;
  }

  remove(terminal) {
    if (!this.list.includes(terminal)) return;
    this.list = this.list.filter((one) => one !== terminal);
    terminal.close();
    this.#notify("change", terminal);
  }

  /** The reader loads the page again, and knows that they end. Returns what was chosen and begun to be written in each. */
  leave() {
    this.left = true;
    return this.list.map(({server, draft, raw, ansi, hex, ending}) => ({server, draft, raw, ansi, hex, ending}));
  }

  #notify(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}

export const terminals = new Terminals();
