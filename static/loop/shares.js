// Who has the loop: now as bars, over time as layers on one another, the page's own at the bottom. Shades tell the
// layers apart, since colour is for states; what is left white above them is the loop's rest.
import {root} from "../facts.js";
import {caption, chart} from "../painting/charts.js";
import {busyShare, percent} from "../figures.js";
import {html, repeat} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {eased} from "../painting/eased.js";
import {_} from "../words.js";
import {span} from "../series/kept.js";
import {loopSeries} from "../series/loop.js";

const MOST_LAYERS = 5;
const LEAST = 0.0005; // what is written as 0 %
const shade = (place) => `color-mix(in srgb, var(--ink) ${[85, 62, 44, 30, 20, 12][place] ?? 12}%, var(--ground))`;

export function followShares(main, feed, charts) {
  const showShares = painted(main.querySelector("#shares"));
  const showThreads = painted(main.querySelector("#thread-shares"));
  const figure = main.querySelector("#share-chart");
  const section = main.querySelector("#who");
  let layers = [];
  let drawn = null;
  let pointed = null;

  const paint = eased(section, 500, () => {
    if (!feed.loop) return;
    draw();
    showShares(shares(feed));
    showThreads(onThreads(feed));
  });
  const unfollow = feed.follow((changes) => {
    if (changes.loop || changes.servers.size) paint();
  });
  charts.push(() => {
    drawn?.end();
    drawn = pointed = null;
    paint.now();
  });
  return () => {
    unfollow();
    paint.end();
    drawn?.end();
  };

  function shares() {
    const names = [...feed.servers.values()].filter((server) => server.runs_on === "loop" && server.task).map(({name}) => name);
    const measured = busyShare(feed.loop.share) !== null;
    const known = new Map([...names.map((name) => [name, 0]), ...Object.entries(feed.loop.share)]);
    known.delete("app");
    known.delete("idle");
    const found = !measured ? [] : [...known].sort(([name, one], [other, another]) => another - one || name.localeCompare(other));
    return html`${repeat(found, ([name]) => name, ([name, share]) => bar(name, share, null))}
      ${bar("app", measured ? (feed.loop.share.app ?? 0) : null, _("this page and its watching"))}
      ${bar("idle", measured ? (feed.loop.share.idle ?? 0) : null, _("nobody: it waits for work"))}`;
  }

  function bar(name, share, words) {
    const layer = layers.indexOf(name);
    return html`<li>
      <span class="name">${layer >= 0 ? html`<i class="swatch s${layer}" aria-hidden="true"></i>` : html`<i class="swatch" aria-hidden="true"></i>`}${words ?? html`<a href="${root}/ui/servers/${name}" translate="no">${name}</a>`}</span>
      <meter min="0" max="1" .value=${share ?? 0} aria-hidden="true"></meter><b>${percent(share)}</b></li>`;
  }

  function onThreads() {
    const running = [...feed.servers.values()].filter((server) => server.runs_on === "thread" && server.task);
    if (!running.length) return html`<li class="nobody">${_("None runs.")}</li>`;
    const found = running.map(({name}) => [name, feed.loop.threads[name] ?? 0]).sort(([name, one], [other, another]) => another - one || name.localeCompare(other));
    return repeat(found, ([name]) => name, ([name, share]) => bar(name, share, null));
  }

  function draw() {
    const now = performance.now();
    const points = loopSeries.within(span(), paint);
    const wanted = largest(points);
    if (!drawn || wanted.join() !== layers.join()) {
      drawn?.end();
      layers = wanted;
      // The sums of all layers up to one, painted from the highest down: each covers the part of the one before it.
      const lines = ["", ...layers].map((_name, place, all) => ({colour: "var(--ground)", width: 1, fill: place === 0 ? shade(MOST_LAYERS) : shade(layers.length - place)}));
      drawn = chart(figure, {
        lines,
        seconds: span().seconds,
        most: 1,
        format: (share) => `${Math.round(share * 100)} %`,
        point: (index) => {
          pointed = index;
          paint();
        },
      });
    }
    const ages = points.map(({at}) => (at - now) / 1000);
    const columns = [points.map(({share}) => busyShare(share))];
    for (let count = layers.length; count > 0; count--) {
      const below = layers.slice(0, count);
      columns.push(points.map(({share}) => (busyShare(share) === null ? null : below.reduce((sum, name) => sum + (share[name] ?? 0), 0))));
    }
    drawn.show(ages, columns);
    const told = points[pointed ?? points.length - 1]?.share;
    const share = told && told.idle !== null ? told : feed.loop.share;
    const busy = _("busy %(share)s", {share: percent(busyShare(share))});
    const [first] = Object.entries(share).filter(([name]) => name !== "idle" && name !== "app").sort(([, one], [, other]) => other - one);
    caption(figure, first && first[1] > LEAST ? _("%(busy)s, most of it %(name)s: %(share)s", {busy, name: first[0], share: percent(first[1])}) : busy);
  }
}

/** The page's own layer, and those of the servers that had most. */
function largest(points) {
  const sums = new Map();
  for (const {share} of points) for (const [name, part] of Object.entries(share)) sums.set(name, (sums.get(name) ?? 0) + part);
  sums.delete("idle");
  sums.delete("app");
  const first = [...sums].filter(([, sum]) => sum > LEAST).sort(([, one], [, other]) => other - one).slice(0, MOST_LAYERS - 1);
  return ["app", ...first.map(([name]) => name).sort()];
}
