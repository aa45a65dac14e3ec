// What the loop was like: what the app has kept, and a second at a time from then on.
import {Line} from "./kept.js";

const REMOTE_MS = 2000;

// Points are {at, lag_ms, share}; lag and shares are null where nothing was seen.
const pick = ({lag_ms, share}, index) => ({
  lag_ms: {p50: lag_ms.p50[index], p99: lag_ms.p99[index], max: lag_ms.max[index]},
  share: Object.fromEntries(Object.entries(share).map(([name, values]) => [name, values[index]])),
});

class LoopSeries extends Line {
  constructor() {
    super("/loop/series?", pick);
  }

  follow(feed) {
    feed.follow((changes) => {
      if (changes.snapshot) this.forget();
      if (changes.loop) this.add({lag_ms: feed.loop.lag_ms, share: feed.loop.share});
    });
  }
}

export const loopSeries = new LoopSeries();

/** The loop of whichever node of a fleet has this server; the feed tells of one node's loop only. */
export class LoopOfServer extends Line {
  #asked = 0;

  constructor(name) {
    super(`/loop/series?server=${encodeURIComponent(name)}&`, pick);
  }

  within(span, later) {
    if (performance.now() - this.#asked > REMOTE_MS) {
      this.#asked = performance.now();
      this.stale();
    }
    return super.within(span, later);
  }
}
