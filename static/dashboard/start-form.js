// The form that starts a server: tells what each variant teaches, and what is wrong with a field beside that field.
import {busyWhile} from "../actions.js";
import {clearFieldErrors, settingsOf, showFieldError, valueOf} from "../fields.js";
import {html} from "../painting/lit.js";
import {painted} from "../painting/painted.js";
import {call} from "../rest.js";

export function followStartForm(main) {
  const form = main.querySelector("#start");
  if (!form) return () => {}; // of a viewer
  const variant = form.elements.variant;
  const paint = painted(form.querySelector("#lesson"));
  const describe = () => {
    const {title, lesson} = variant.selectedOptions[0].dataset;
    paint(html`<b>${title}</b> ${lesson}`);
  };
  const send = (event) => {
    event.preventDefault();
    clearFieldErrors(form);
    busyWhile(event.submitter, start(form));
  };
  variant.addEventListener("change", describe);
  form.addEventListener("submit", send);
  describe();
  return () => form.removeEventListener("submit", send);
}

async function start(form) {
  try {
    const server = await call("POST", "/servers", specOf(form));
    form.elements.port.value = form.elements.name.value = "";
    return server;
  } catch (problem) {
    if (!showFieldError(form, problem)) throw problem;
  }
}

function specOf(form) {
  const spec = {port: 0};
  for (const input of settingsOf(form)) if (input.value.trim() !== "") spec[input.name] = valueOf(input);
  return spec;
}
