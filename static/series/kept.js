// What the app has kept of a server or of the loop (GET .../series), in this page's time; and how far back charts go.
import {now} from "../clock.js";
import {html, render} from "../painting/lit.js";
import {call} from "../rest.js";
import {_} from "../words.js";

/** How far back a chart goes: `seconds` in steps of `every`. */
const SPANS = [
  {seconds: 120, every: 1, words: _("2 min"), title: _("The last two minutes")},
  {seconds: 600, every: 1, words: _("10 min"), title: _("The last ten minutes")},
  {seconds: 86400, every: 60, words: _("24 h"), title: _("The last 24 hours, by the minute")},
];

export const MOST = 600; // points by the second that the page keeps

let chosen = SPANS[0];

export const span = () => chosen;

/** Buttons by which the span is chosen, in `place`; `changed()` is called after each choice. */
export function followSpan(place, changed) {
  const paint = () =>
    render(
      html`${SPANS.map(
        (one) => html`<button type="button" class="small" title=${one.title} aria-pressed=${String(one === chosen)} @click=${() => choose(one)}>${one.words}</button>`,
      )}`,
      place,
    );
  const choose = (one) => {
    chosen = one;
    paint();
    changed();
  };
  place.replaceChildren();
  paint();
}

/**
 * The latest steps as points, the oldest first, of a path with the beginning of a query: `at` in ms of performance.now(),
 * and what `pick(series, index)` makes of each. Null if the app does not say.
 */
export async function kept(path, every, steps, pick) {
  let series;
  try {
    series = await call("GET", `${path}every=${every}&last=${steps}`);
  } catch {
    return null; // the header says what the feed has met with; the next connection asks anew
  }
  const count = series.open.length;
  const end = performance.now() - Math.max(0, now() - Date.parse(series.until));
  return Array.from({length: count}, (_nothing, index) => ({at: end - (count - 1 - index) * every * 1000, ...pick(series, index)}));
}

/** Points of a chart that goes on: those before it was wanted come from the app, and again after each gap. */
export class Line {
  points = [];
  #path;
  #pick;
  #minutes = [];
  #asked = null; // when, of the minutes
  #filling = null;

  constructor(path, pick) {
    this.#path = path;
    this.#pick = pick;
  }

  add(point) {
    this.points.push({at: performance.now(), ...point});
    if (this.points.length > MOST) this.points.shift();
  }

  /** Take what the app has kept in the place of what is known here; returns when it is there. */
  fill() {
    this.#filling ??= this.#fill();
    return this.#filling;
  }

  async #fill() {
    const found = await kept(this.#path, 1, MOST, this.#pick);
    if (!found) this.#filling = null;
    else if (found.length) this.points = [...found, ...this.points.filter(({at}) => at > found.at(-1).at + 500)].slice(-MOST);
  }

  /** Whether anybody wanted it: of the others the app knows what was, should somebody come. */
  get wanted() {
    return this.#filling !== null;
  }

  /** What the app tells from now on is not what came after what is known: ask it again when it is needed. */
  forget() {
    this.#filling = this.#asked = null;
  }

  /** The seconds are asked for again; until they come, those that are known will do. */
  stale() {
    this.#filling = null;
  }

  /** The points of a span; `later` is called when there are more than could be given at once. */
  within({seconds, every}, later) {
    const since = performance.now() - seconds * 1000;
    if (every === 1) {
      if (!this.#filling) this.fill().then(later);
      return this.points.filter(({at}) => at > since);
    }
    if (this.#asked === null || performance.now() - this.#asked > 60_000) {
      this.#asked = performance.now();
      kept(this.#path, every, seconds / every, this.#pick).then((found) => {
        this.#minutes = found ?? this.#minutes;
        later();
      });
    }
    return this.#minutes;
  }
}
