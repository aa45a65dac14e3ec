// Figures for people; app/web/figures.py writes them alike, by the same names.
import {now} from "./clock.js";
import {_, language} from "./words.js";

const grouping = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat(language === "xx" ? "en" : language, {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false});

/** In the place of a figure that is not there. */
const NOTHING = "–";

/** Seconds from then until now, at least 0; by the app's clock. */
export const secondsSince = (iso) => Math.max(0, (now() - Date.parse(iso)) / 1000);

/** A length of time in the largest unit that fits. */
export function duration(seconds) {
  if (seconds >= 86400) return _("%(n)s d", {n: Math.floor(seconds / 86400)});
  if (seconds >= 3600) return _("%(n)s h", {n: Math.floor(seconds / 3600)});
  if (seconds >= 60) return _("%(n)s min", {n: Math.floor(seconds / 60)});
  return _("%(n)s s", {n: Math.floor(seconds)});
}

/** Bytes: 1 kB is 1,000. */
export function size(count) {
  if (count < 1000) return `${count} B`;
  let value = count;
  let unit;
  for (unit of ["kB", "MB", "GB", "TB"]) {
    value /= 1000;
    if (value < 999.5) break;
  }
  return value < 99.95 ? `${value.toFixed(1)} ${unit}` : `${value.toFixed(0)} ${unit}`;
}

export const sizeOrNothing = (count) => (count ? size(count) : NOTHING);

/** Milliseconds; no decimals from ten on. */
export const ms = (value) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;

export const roundTrip = (microseconds) => (microseconds === null ? NOTHING : `${(microseconds / 1000).toFixed(2)} ms`);

/** Seconds without a byte; tenths below ten. */
export const idle = (seconds) => (seconds === null ? NOTHING : seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds));

/** What would be 0.0 % is 0 %. */
export const percent = (share) =>
  share === null ? NOTHING : share >= 0.0005 && share < 0.0995 ? `${(share * 100).toFixed(1)} %` : `${(share * 100).toFixed(0)} %`;

/** The share of the loop that is not idle; null where shares are not measured. */
export const busyShare = (shares) => (shares.idle === null || !Object.keys(shares).length ? null : 1 - (shares.idle ?? 0));

export const grouped = (count) => grouping.format(count);

/** The time of day, local. */
export const timeOfDay = (iso) => clock.format(new Date(iso));

/** Write each `<time data-since>` in it anew: how long ago its `datetime` is. */
export function writeTimes(root) {
  for (const time of root.querySelectorAll("time[data-since]")) {
    const words = duration(secondsSince(time.dateTime));
    const text = time.dataset.since === "ago" ? _("%(span)s ago", {span: words}) : words;
    if (time.textContent !== text) time.textContent = text;
  }
}
