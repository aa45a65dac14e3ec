// How late the loop comes to what is ready, now and over time.
import {caption, chart} from "../painting/charts.js";
import {grouped, ms} from "../figures.js";
import {html} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {eased} from "../painting/eased.js";
import {_} from "../words.js";
import {span} from "../series/kept.js";
import {loopSeries} from "../series/loop.js";

export function followLag(main, feed, charts) {
  const showFigures = painted(main.querySelector("#lag-now"));
  const figure = main.querySelector("#lag-chart");
  let pointed = null;
  let drawn = null;
  const paint = eased(main.querySelector("#lag"), 500, () => {
    if (!feed.loop) return;
    showFigures(figures(feed.loop));
    draw();
  });
  const unfollow = feed.follow((changes) => {
    if (changes.loop) paint();
  });
  charts.push(begin);
  begin();
  return () => {
    unfollow();
    paint.end();
    drawn.end();
  };

  function begin() {
    drawn?.end();
    pointed = null;
    drawn = chart(figure, {
      lines: [
        {colour: "var(--soft)", dash: [2, 3], width: 1},
        {colour: "var(--ink)"},
        {colour: "var(--soft)", width: 1},
      ],
      seconds: span().seconds,
      least: 5,
      format: (value) => `${value} ms`,
      point: (index) => {
        pointed = index;
        paint();
      },
    });
    paint.now();
  }

  function draw() {
    const at = performance.now();
    const points = loopSeries.within(span(), paint);
    drawn.show(points.map((point) => (point.at - at) / 1000), ["max", "p99", "p50"].map((part) => points.map(({lag_ms}) => lag_ms[part])));
    const told = points[pointed ?? points.length - 1]?.lag_ms;
    const lag_ms = told && told.p99 !== null ? told : feed.loop.lag_ms;
    caption(figure, _("— p99 %(p99)s, ┄ worst %(max)s, thin: half under %(p50)s", {p99: ms(lag_ms.p99), max: ms(lag_ms.max), p50: ms(lag_ms.p50)}));
  }
}

const figures = ({lag_ms, stalled}) => html`
  <div><dt>${_("half of it under")}</dt><dd>${ms(lag_ms.p50)}</dd></div>
  <div><dt>${_("99 of 100 under")}</dt><dd>${ms(lag_ms.p99)}</dd></div>
  <div><dt>${_("the worst")}</dt><dd>${ms(lag_ms.max)}</dd></div>
  <div><dt>${_("stalls so far")}</dt><dd><a href="#stalls">${grouped(stalled)}</a></dd></div>`;
