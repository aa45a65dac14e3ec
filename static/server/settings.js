// The form of settings: only what was changed is sent; what changes elsewhere shows, unless somebody is at it here.
import {busyWhile} from "../actions.js";
import {states} from "../facts.js";
import {clearFieldErrors, settingsOf, showFieldError, textOf, valueOf} from "../fields.js";
import {go} from "../navigation.js";
import {call, serverPath} from "../rest.js";
import {_} from "../words.js";

export function followSettings(place, feed, name) {
  const form = place.querySelector("#settings-form");
  if (!form) return () => {};
  const where = form.querySelector("#place");
  const changed = form.querySelector("#changed");
  const variant = place.querySelector("#source").dataset.variant;
  const known = new Map(); // by field: what the server has, as text
  for (const field of settingsOf(form)) known.set(field.name, field.value);

  const send = (event) => {
    event.preventDefault();
    clearFieldErrors(form);
    changed.textContent = "";
    busyWhile(event.submitter, change());
  };
  form.addEventListener("submit", send);
  const unfollow = feed.follow((changes) => {
    const server = feed.servers.get(name);
    if (!server || !changes.servers.has(name)) return;
    if (server.variant !== variant) go(location.href); // another source, another lesson
    const atRest = states[server.state].rests;
    if (where.disabled === atRest) where.disabled = !atRest;
    take(server.spec);
  });
  return () => {
    form.removeEventListener("submit", send);
    unfollow();
  };

  async function change() {
    const patch = differing();
    if (!Object.keys(patch).length) {
      changed.textContent = _("Nothing was changed.");
      return;
    }
    try {
      const {spec} = await call("PATCH", serverPath(name), patch);
      for (const field of Object.keys(patch)) known.set(field, form.elements[field].value);
      take(spec);
      changed.textContent = _("Changed.");
    } catch (problem) {
      if (!showFieldError(form, problem)) throw problem;
    }
  }

  function differing() {
    const patch = {};
    for (const field of settingsOf(form)) {
      const text = field.value.trim();
      if (field.matches(":disabled") || text === known.get(field.name)) continue;
      patch[field.name] = valueOf(field);
    }
    return patch;
  }

  /** What was typed and not sent yet stays. */
  function take(spec) {
    for (const field of settingsOf(form)) {
      const text = textOf(spec[field.name]);
      const untouched = field.value === known.get(field.name);
      known.set(field.name, text);
      if (untouched && field.value !== text) field.value = text;
    }
  }
}
