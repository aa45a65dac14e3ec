// The last two minutes: what this server's clients sent and got, and how late the loop was meanwhile.
import {every} from "../painting/beat.js";
import {caption, chart} from "../painting/charts.js";
import {ms, size} from "../figures.js";
import {loopSeries} from "../series/loop.js";
import {traffic, SECONDS} from "../series/traffic.js";
import {_} from "../words.js";
import {eased} from "../painting/eased.js";

const rate = (bytes) => `${size(Math.round(bytes))}/s`;

export function followCharts(place, feed, name) {
  const section = place.querySelector("#charts");
  const [bytes, lag] = section.querySelectorAll("figure");
  let pointed = {bytes: null, lag: null};
  const paint = eased(section, 500, () => {
    showTraffic();
    showLag();
  });
  const point = (which, index) => {
    pointed = {...pointed, [which]: index};
    paint();
  };
  const charts = [
    chart(bytes, {
      lines: [
        {colour: "var(--ink)", fill: "color-mix(in srgb, var(--ink) 8%, transparent)"},
        {colour: "var(--soft)", dash: [4, 3]},
      ],
      seconds: SECONDS,
      least: 1000,
      format: rate,
      point: (index) => point("bytes", index),
    }),
    chart(lag, {lines: [{colour: "var(--ink)"}], seconds: SECONDS, least: 5, format: ms, point: (index) => point("lag", index)}),
  ];
  const endBeat = every(1000, paint);
  return () => {
    endBeat();
    paint.end();
    for (const one of charts) one.end();
  };

  function showTraffic() {
    const rates = traffic.rates(name);
    charts[0].show(
      rates.map((_rate, place) => place - rates.length + 1),
      [rates.map((one) => one.in), rates.map((one) => one.out)],
    );
    const at = rates[pointed.bytes ?? rates.length - 1] ?? {in: 0, out: 0};
    const most = Math.max(0, ...rates.map((one) => Math.max(one.in, one.out)));
    caption(bytes, _("— %(in)s in, ┄ %(out)s out; at most %(most)s", {in: rate(at.in), out: rate(at.out), most: rate(most)}));
  }

  function showLag() {
    const now = performance.now();
    const points = loopSeries.points.filter(({at}) => now - at < SECONDS * 1000);
    charts[1].show(points.map(({at}) => (at - now) / 1000), [points.map((one) => one.lag_ms.p99)]);
    const at = (points[pointed.lag ?? points.length - 1] ?? feed.loop)?.lag_ms.p99 ?? 0;
    const most = Math.max(0, ...points.map((one) => one.lag_ms.p99));
    caption(lag, _("how late it comes to what is ready: p99 %(ms)s; at most %(most)s", {ms: ms(at), most: ms(most)}));
  }
}
