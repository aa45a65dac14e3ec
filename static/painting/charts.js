// Charts over time, in the page's own ink: uPlot draws on a canvas, which knows no style sheet, so the tokens are asked
// for their colours when it draws, and it draws anew when the theme changes. Time runs up to now at the right edge; the
// height is the style sheet's, so nothing moves when figures come. What a chart shows is said beside it in words.
import "./language.js"; // before uPlot
import uPlot from "../vendor/uplot/dist/uPlot.esm.js";
import {_} from "../words.js";
import {followTheme} from "./theme.js";

const probe = document.createElement("span");
probe.hidden = true;
probe.style.forcedColorAdjust = "none"; // else all lines and areas are of one colour where the system chooses

/** A colour of the style sheet as a canvas takes it: `var(--ink)`, or any other value of `color`. */
export function ink(colour) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = colour;
  return getComputedStyle(probe).color;
}

/**
 * In a figure's `.plot`: `lines` are {colour, dash, fill, width}, drawn in their order; `seconds` is how far back it
 * goes, `least` the least top of the scale, `most` its fixed top if it has one, `format(value)` writes a figure at the
 * axis; `point(index)` is called with where the pointer is, null where it left. Returns {show(ages, columns), end()}: ages are
 * seconds before now, negative and rising.
 */
export function chart(figure, {lines, seconds, least, most, format, point = () => {}}) {
  const plot = figure.querySelector(".plot");
  const font = () => `12px ${getComputedStyle(document.documentElement).getPropertyValue("--words")}`;
  const axis = {stroke: () => ink("var(--soft)"), font: font(), grid: {stroke: () => ink("var(--line)"), width: 1}, ticks: {show: false}};
  const options = {
    width: plot.clientWidth || 300,
    height: plot.clientHeight || 140,
    padding: [8, 22, 0, 0],
    legend: {show: false},
    cursor: {y: false, drag: {x: false, y: false}, points: {size: 5}},
    scales: {
      x: {time: false, range: [-seconds, 0]},
      y: {range: (_plot, _low, high) => [0, most ?? Math.max(least, (high ?? 0) * 1.1)]},
    },
    axes: [
      {...axis, size: 24, space: 70, splits: (drawn) => splitsOf(seconds, drawn.width), values: (_plot, ages) => ages.map(agesIn)},
      {...axis, size: 64, space: 34, values: (_plot, values) => values.map(format)},
    ],
    series: [
      {},
      ...lines.map(({colour, dash, fill, width = 1.5}) => ({
        stroke: () => ink(colour),
        width,
        dash,
        fill: fill && (() => ink(fill)),
        points: {show: false},
        spanGaps: false,
      })),
    ],
    hooks: {setCursor: [(drawn) => point(drawn.cursor.idx ?? null)]},
  };
  const drawn = new uPlot(options, [[], ...lines.map(() => [])], plot);
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", figure.querySelector("figcaption").textContent);
  const fit = () => {
    if (plot.clientWidth) drawn.setSize({width: plot.clientWidth, height: plot.clientHeight});
  };
  const resized = new ResizeObserver(fit);
  resized.observe(plot);
  const endOfTheme = followTheme(() => {
    fit(); // paper has another width, and is printed before an observer is told
    drawn.redraw(false);
  });
  return {
    show(ages, columns) {
      drawn.setData([ages, ...columns]);
    },
    end() {
      endOfTheme();
      resized.disconnect();
      drawn.destroy();
    },
  };
}

/** Write in words what a chart shows, beside it and for those who do not see it. */
export function caption(figure, words) {
  const aside = figure.querySelector("figcaption .aside");
  if (aside.textContent !== words) aside.textContent = words;
  const label = `${figure.querySelector("figcaption b").textContent}: ${words}`;
  figure.querySelector(".plot").setAttribute("aria-label", label);
}

function splitsOf(seconds, width) {
  const most = Math.min(6, width / 80);
  const step = [30, 60, 120, 300, 14400, 28800].find((one) => seconds / one <= most) ?? seconds;
  return Array.from({length: seconds / step + 1}, (_nothing, place) => place * step - seconds);
}

function agesIn(age) {
  if (age === 0) return _("now");
  const words = age % 60 ? _("%(n)s s", {n: -age}) : age % 3600 ? _("%(n)s min", {n: -age / 60}) : _("%(n)s h", {n: -age / 3600});
  return `−${words}`;
}
