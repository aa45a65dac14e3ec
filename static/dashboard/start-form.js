// The form that starts a server: tells what each variant teaches, and what is wrong with a field beside that field.
import {busyWhile} from "../actions.js";
import {clearFieldErrors, settingsOf, showFieldError, valueOf} from "../fields.js";
import {html, render} from "../lit.js";
import {call} from "../rest.js";

export function followStartForm(form) {
  const variant = form.elements.variant;
  const lesson = form.querySelector("#lesson");
  lesson.replaceChildren();
  const tell = () => {
    const {title, lesson: words} = variant.selectedOptions[0].dataset;
    render(html`<b>${title}</b> ${words}`, lesson);
  };
  const send = (event) => {
    event.preventDefault();
    clearFieldErrors(form);
    busyWhile(event.submitter, start(form));
  };
  variant.addEventListener("change", tell);
  form.addEventListener("submit", send);
  tell();
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
