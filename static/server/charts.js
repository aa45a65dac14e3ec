// What this server's clients sent and got lately, and how late the loop was meanwhile.
import {every} from "../painting/beat.js";
import {caption, chart} from "../painting/charts.js";
import {ms, size} from "../figures.js";
import {followSpan, span} from "../series/kept.js";
import {LoopOfServer, loopSeries} from "../series/loop.js";
import {traffic} from "../series/traffic.js";
import {_} from "../words.js";
import {eased} from "../painting/eased.js";

const rate = (bytes) => `${size(Math.round(bytes))}/s`;
const highest = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);

export function followCharts(place, feed, name) {
  const section = place.querySelector("#charts");
  const [bytes, lag] = section.querySelectorAll("figure");
  let pointed = {bytes: null, lag: null};
  let charts = [];
  const elsewhere = new LoopOfServer(name);
  const paint = eased(section, 500, () => {
    showTraffic();
    showLag();
  });
  const point = (which, index) => {
    pointed = {...pointed, [which]: index};
    paint();
  };
  draw();
  followSpan(section.querySelector(".two"), draw);
  const endBeat = every(1000, paint);
  return () => {
    endBeat();
    paint.end();
    for (const one of charts) one.end();
  };

  function draw() {
    for (const one of charts) one.end();
    pointed = {bytes: null, lag: null};
    const {seconds} = span();
    charts = [
      chart(bytes, {
        lines: [
          {colour: "var(--ink)", fill: "color-mix(in srgb, var(--ink) 8%, transparent)"},
          {colour: "var(--soft)", dash: [4, 3]},
        ],
        seconds,
        least: 1000,
        format: rate,
        point: (index) => point("bytes", index),
      }),
      chart(lag, {lines: [{colour: "var(--ink)"}], seconds, least: 5, format: ms, point: (index) => point("lag", index)}),
    ];
    paint.now();
  }

  function showTraffic() {
    const points = traffic.line(name)?.within(span(), paint) ?? [];
    const now = performance.now();
    charts[0].show(
      points.map(({at}) => (at - now) / 1000),
      [points.map((one) => one.in), points.map((one) => one.out)],
    );
    const at = points[pointed.bytes ?? points.length - 1];
    const most = Math.max(highest(points.map((one) => one.in)), highest(points.map((one) => one.out)));
    caption(bytes, _("— %(in)s in, ┄ %(out)s out; at most %(most)s", {in: rate(at?.in ?? 0), out: rate(at?.out ?? 0), most: rate(most)}));
  }

  function showLag() {
    const now = performance.now();
    const points = (feed.servers.get(name)?.node ? elsewhere : loopSeries).within(span(), paint);
    const values = points.map((one) => one.lag_ms.p99);
    charts[1].show(points.map(({at}) => (at - now) / 1000), [values]);
    const at = (points[pointed.lag ?? points.length - 1] ?? feed.loop)?.lag_ms.p99 ?? 0;
    caption(lag, _("how late it comes to what is ready: p99 %(ms)s; at most %(most)s", {ms: ms(at), most: ms(highest(values))}));
  }
}
