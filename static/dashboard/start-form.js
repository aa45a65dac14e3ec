// The form that starts a server: tells what each variant teaches, and what is wrong with a field beside that field.
import {busyWhile} from "../actions.js";
import {html, render} from "../lit.js";
import {call} from "../rest.js";

const WHOLE = new Set(["port", "backlog", "max_connections", "recv_size", "max_buffer"]);

export function followStartForm(form) {
  const variant = form.elements.variant;
  const lesson = form.querySelector("#lesson");
  lesson.replaceChildren();
  const tell = () => {
    const {title, lesson: words} = variant.selectedOptions[0].dataset;
    render(html`<b>${title}.</b> ${words}`, lesson);
  };
  const send = (event) => {
    event.preventDefault();
    forgive(form);
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
    const input = problem.field && form.elements[problem.field];
    if (!input) throw problem;
    blame(input, problem.detail);
  }
}

/** As the fields say; what is no number goes as it stands, so that the app can say what is wrong with it. */
function specOf(form) {
  const spec = {port: 0};
  for (const [field, text] of new FormData(form)) {
    const value = text.trim();
    if (field === "nodelay") spec[field] = value === "True";
    else if (value === "") continue;
    else if (WHOLE.has(field)) spec[field] = /^\d{1,15}$/.test(value) ? Number(value) : value;
    else if (field === "idle_timeout") spec[field] = /^\d{1,15}(\.\d{1,9})?$/.test(value) ? Number(value) : value;
    else spec[field] = value;
  }
  return spec;
}

function blame(input, words) {
  const error = document.createElement("span");
  error.className = "wrong";
  error.id = `wrong-${input.name}`;
  error.setAttribute("role", "alert");
  error.textContent = words;
  input.after(error);
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", error.id);
  const more = input.closest("details");
  if (more) more.open = true;
  input.focus();
}

function forgive(form) {
  for (const error of form.querySelectorAll(".wrong")) error.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}
