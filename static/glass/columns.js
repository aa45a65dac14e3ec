// Where the picture's columns are: the time axis, a lane for each client, the kernel, the server's threads, their labels.
import {widthOf} from "./labels.js";

export const TOP = 64;
const LEAST = {lane: 22, kernel: 72, labels: 64}, FAIR = {lane: 48, kernel: 80, labels: 110}, GOOD = {lane: 70, kernel: 96, labels: 210}; // pixels
const BESIDE = 16; // pixels left and right of the labels

const nice = (least) => [0.000001, 0.000002, 0.000005].flatMap((base) => [...Array(9).keys()].map((power) => base * 10 ** power)).sort((a, b) => a - b).find((step) => step >= least) ?? 10;

/** Seconds between two marks of the time axis. */
export const tickStep = (scale) => nice(70 / scale);

export function tickWords(at, step) {
  if (step >= 0.1) return `${at.toFixed(1)} s`;
  return `${(at * 1000).toFixed(step >= 0.001 ? 0 : 3)} ms`;
}

/** At `scale` pixels a second; `width` is what there is, and all of it is used. A picture that needs more is wider. */
export function columnsOf(model, scale, width = 0) {
  const lanes = Math.max(1, model.lanes.length), rows = Math.max(1, model.rows.length);
  const step = tickStep(scale);
  const axis = Math.ceil(Math.max(...[-model.zero, model.seconds - model.zero].map((at) => widthOf(tickWords(at, step), "soft")))) + 14;
  const row = rows > 5 ? 12 : rows > 2 ? 16 : 24;
  const sum = (of) => axis + lanes * of.lane + of.kernel + rows * row + of.labels + BESIDE;
  const part = Math.max(0, Math.min(1, (width - sum(LEAST)) / (sum(GOOD) - sum(LEAST))));
  const rest = Math.max(0, width - sum(GOOD));
  const between = (what) => LEAST[what] + part * (GOOD[what] - LEAST[what]);
  const lane = Math.floor(between("lane") + rest / 2 / lanes), kernelWide = Math.floor(between("kernel"));
  const kernel = axis + lanes * lane, server = kernel + kernelWide, labels = server + rows * row + BESIDE / 2;
  const labelsWide = Math.max(LEAST.labels, Math.floor(width - labels - BESIDE / 2));
  return {
    axis, lane, kernel, kernelWide, server, row, labels, labelsWide,
    least: sum(LEAST), fair: sum(FAIR), width: labels + labelsWide + BESIDE / 2, height: TOP + model.seconds * scale + 28,
  };
}
