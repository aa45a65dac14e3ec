// The buttons at the head: those of any room, and a stop that lets the clients inside finish.
import {act, busyWhile} from "../actions.js";
import {states} from "../facts.js";
import {clearFieldErrors, showFieldError} from "../fields.js";
import {html} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {call, serverPath} from "../rest.js";
import {_} from "../words.js";

export function followCommands(place, feed, name) {
  const form = place.querySelector("#commands");
  if (!form) return () => {};
  const send = (event) => {
    event.preventDefault();
    clearFieldErrors(form);
    busyWhile(event.submitter, command(form, name, event.submitter.value));
  };
  form.addEventListener("submit", send);
  // The template's buttons stay until others are due: somebody may be typing already.
  let shownAlive = form.querySelector("[value=stop]") !== null;
  const show = painted(form);
  const unfollow = feed.follow(() => {
    const server = feed.servers.get(name);
    const alive = server && !states[server.state].rests;
    if (!server || alive === shownAlive) return;
    shownAlive = alive;
    show(buttons(name, alive));
  });
  return () => {
    form.removeEventListener("submit", send);
    unfollow();
  };
}

async function command(form, name, action) {
  const drain = form.elements.drain?.value.trim() || "0";
  if (action !== "stop" || drain === "0") return act(name, action);
  try {
    return await call("POST", `${serverPath(name, "stop")}?${new URLSearchParams({drain})}`);
  } catch (problem) {
    if (!showFieldError(form, problem)) throw problem;
  }
}

const buttons = (name, alive) => html`${alive
  ? html`<span class="joined"><button name="action" value="stop">${_("Stop")}</button><label><span>${_("after at most")}</span> <input name="drain" value="0" inputmode="decimal" size="3" autocomplete="off" title=${_("Seconds that the clients inside get to finish, while new ones are refused")} /> s</label></span>
      <button name="action" value="restart">${_("Restart")}</button>`
  : html`<button name="action" value="start" class="primary">${_("Start")}</button>`}
  <a class="button" href="#terminals" data-terminal=${name}>${_("Terminal")}</a>
  <button name="action" value="remove" class="quiet">${_("Remove")}</button>`;
