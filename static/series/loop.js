// What the loop was like, a second at a time, since this document was opened.

const SECONDS = 300;

class LoopSeries {
  points = []; // {at: ms of performance.now(), lag_ms, share, threads, stalled}

  follow(feed) {
    feed.follow((changes) => {
      if (!changes.loop) return;
      this.points.push({at: performance.now(), ...feed.loop});
      if (this.points.length > SECONDS) this.points.shift();
    });
  }
}

export const loopSeries = new LoopSeries();
