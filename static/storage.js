// What the browser stores for the page. Where it lets a page store nothing (cookies or site data are blocked: each access
// throws) or the storage is full, values are in memory, and last as long as the page.

class Store {
  #name;
  #memory = new Map(); // JSON that the browser did not store, by key

  /** `name` is "localStorage" or "sessionStorage": to read that property is an access already. */
  constructor(name) {
    this.#name = name;
  }

  /** The value; null where there is none, or one that is not JSON. */
  get(key) {
    try {
      return JSON.parse(this.#memory.get(key) ?? globalThis[this.#name].getItem(key));
    } catch {
      return null;
    }
  }

  set(key, value) {
    const json = JSON.stringify(value);
    this.remove(key); // else an older value would outlive the memory
    try {
      globalThis[this.#name].setItem(key, json);
    } catch {
      this.#memory.set(key, json);
    }
  }

  remove(key) {
    this.#memory.delete(key);
    try {
      globalThis[this.#name].removeItem(key);
    } catch {
      // blocked: nothing is stored there
    }
  }
}

export const browserStore = new Store("localStorage");
export const tabStore = new Store("sessionStorage");
