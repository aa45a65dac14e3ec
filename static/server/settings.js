// The form of settings: only what was changed is sent; what changes elsewhere shows, unless somebody is at it here.
import {busyWhile} from "../actions.js";
import {blame, forgive, valueOf} from "../fields.js";
import {go} from "../navigation.js";
import {call, serverPath} from "../rest.js";
import {_} from "../words.js";

const AT_REST = new Set(["stopped", "exited", "crashed", "failed"]);
const UNBOUNDED = new Set(["max_connections", "idle_timeout"]);

export function followSettings(place, feed, name) {
  const form = place.querySelector("#settings-form");
  if (!form) return () => {};
  const where = form.querySelector("#place");
  const changed = form.querySelector("#changed");
  const variant = place.querySelector("#source").dataset.variant;
  let spec = null;

  const send = (event) => {
    event.preventDefault();
    forgive(form);
    changed.textContent = "";
    busyWhile(event.submitter, change());
  };
  form.addEventListener("submit", send);
  const unfollow = feed.follow((changes) => {
    const server = feed.servers.get(name);
    if (!server || !changes.servers.has(name)) return;
    if (server.variant !== variant) go(location.href, false); // another source, another lesson
    const atRest = AT_REST.has(server.state);
    if (where.disabled === atRest) where.disabled = !atRest;
    if (spec === null || (JSON.stringify(spec) !== JSON.stringify(server.spec) && !Object.keys(differing()).length)) fill(server.spec);
    spec = server.spec;
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
      const server = await call("PATCH", serverPath(name), patch);
      spec = server.spec;
      fill(spec);
      changed.textContent = _("Changed.");
    } catch (problem) {
      if (!blame(form, problem)) throw problem;
    }
  }

  function differing() {
    const patch = {};
    for (const [field, text] of new FormData(form)) {
      const now = text.trim();
      if (!spec || now === textOf(spec[field])) continue;
      if (now !== "") patch[field] = valueOf(field, now);
      else if (UNBOUNDED.has(field)) patch[field] = null;
      else patch[field] = "";
    }
    return patch;
  }

  function fill(told) {
    for (const field of form.elements) {
      if (!field.name || field === document.activeElement) continue;
      const text = textOf(told[field.name]);
      if (field.value !== text) field.value = text;
    }
  }
}

const textOf = (value) => (value === null ? "" : value === true ? "True" : value === false ? "False" : String(value));
