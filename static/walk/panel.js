// What the walk shows: the step, its tasks with what is done, and why it was so.
import {at, root, states} from "../facts.js";
import {html, nothing, render} from "../painting/lit.js";
import {door} from "../rooms/door.js";
import {_} from "../words.js";
import {showPicture} from "./picture.js";
import {STEPS} from "./steps.js";

/** `at` has the name of the step's server, its latest figures, and what the buttons do. */
export function paint(where, at) {
  const place = document.getElementById("walk");
  place.hidden = !where.on;
  render(where.on ? (where.step < STEPS.length ? stepView(where, at) : endView(at)) : nothing, place);
  const picture = place.querySelector(".step-picture");
  if (picture) showPicture(picture, STEPS[where.step].variant);
}

function stepView({step, task}, at) {
  const {title, intro, tasks, why} = STEPS[step];
  const done = task >= tasks.length;
  return html`<header>
      <h2>${title}</h2>
      <ol class="way" aria-label=${_("Step %(n)s of %(all)s", {n: step + 1, all: STEPS.length})}>
        ${STEPS.map((_step, place) => html`<li class=${place < step ? "done" : place === step ? "here" : ""}><span aria-hidden="true">${place + 1}</span></li>`)}
      </ol>
      <button class="quiet small" @click=${at.leave}>${_("Leave the walk")}</button>
    </header>
    <p class="intro">${intro}</p>
    <ol class="tasks" aria-live="polite">
      ${tasks.map((one, place) => taskView(one, place < task ? "done" : place === task ? "now" : "later", at))}
    </ol>
    ${done ? html`<p class="why"><b>${_("Why")}</b> ${why}</p><div class="step-picture"></div>` : nothing}
    <p class="on">
      ${done
        ? html`<button class="primary" ?disabled=${!at.name} @click=${at.next}>${step + 1 < STEPS.length ? _("Next step") : _("Finish")}</button>`
        : html`<button class="quiet small" ?disabled=${!at.name} @click=${at.skip}>${_("Skip this step")}</button>`}
      ${at.now ? html`<a class="aside" href="${root}/ui/servers/${at.name}" translate="no">${at.name} 127.0.0.1:${at.now.port}</a> ${door(at.name, at.now.connections)}` : nothing}
      ${at.now && !done && states[at.now.state].rests ? html`<span class="stopped">${_("It does not run any more.")} <button class="small" @click=${at.startAgain}>${_("Start it again")}</button></span>` : nothing}
    </p>`;
}

const MARKS = {done: "✓", now: "→", later: "·"};

const taskView = (task, when, {name}) => html`<li class=${when}>
  <span class="mark" aria-hidden="true">${MARKS[when]}</span>
  <span>${task.words}${when === "done" ? html`<span class="unseen"> ${_("done")}</span>` : nothing}</span>
  ${when === "now" && name && task.terminal ? html`<button class="small" data-terminal=${name}>${_("Open a terminal")}</button>` : nothing}
  ${when === "now" && name && task.link ? html`<a class="button small" href=${at(task.link.startsWith("#") ? `/ui/servers/${name}${task.link}` : task.link)}>${_("Look")}</a>` : nothing}
</li>`;

const endView = ({leave}) => html`<header><h2>${_("That was the tutorial")}</h2></header>
  <p>${_("From a blocking socket to coroutines with contained errors: each step kept what the one before taught. Beyond them there are variants with threads and with asyncio's own streams; start two side by side, and measure.")}</p>
  <p class="on"><button class="primary" @click=${leave}>${_("Close")}</button></p>`;
