// Clearing, which cannot be undone, and so is asked for twice.
import {busyWhile} from "../actions.js";
import {html} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {call} from "../rest.js";
import {_} from "../words.js";

/** `cleared` is called afterwards. `update(server, any)` says whose are shown, and whether there are any. */
export function followClear(form, cleared) {
  if (!form) return {update() {}, end() {}};
  let server = form.elements.server.value;
  let asks = false;
  const show = painted(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!asks) ask(true);
  });
  const ask = (asking) => {
    asks = asking;
    paint();
    form.querySelector("button").focus();
  };
  const clear = async (event) => {
    const query = server ? `?${new URLSearchParams({server})}` : "";
    await busyWhile(event.currentTarget, call("DELETE", `/exceptions${query}`));
    asks = false;
    paint();
    cleared();
  };
  const paint = () =>
    show(
      asks
        ? html`<span>${server ? _("Forget the exceptions of %(name)s, for good?", {name: server}) : _("Forget all exceptions, for good?")}</span>
            <button type="button" @click=${clear}>${_("Clear")}</button> <button type="button" class="quiet" @click=${() => ask(false)}>${_("Keep")}</button>`
        : html`<input type="hidden" name="server" value=${server}><button class="quiet">${server ? _("Clear those of %(name)s", {name: server}) : _("Clear all")}</button>`,
    );
  paint();
  return {
    update(name, any) {
      form.hidden = !any && !asks;
      if (name !== server) asks = false;
      server = name;
      paint();
    },
    end() {},
  };
}
