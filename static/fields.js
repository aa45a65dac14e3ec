// Forms of settings: what their fields say, and what is wrong with one of them, beside it.

const WHOLE = new Set(["port", "backlog", "max_connections", "recv_size", "max_buffer"]);
const DECIMAL = new Set(["idle_timeout"]);

/** What a field says, as the app wants it; what is no number goes as it stands, so that the app can say what is wrong. */
export function valueOf(field, text) {
  if (field === "nodelay") return text === "True";
  if (WHOLE.has(field)) return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (DECIMAL.has(field)) return /^-?\d{1,15}(\.\d{1,9})?$/.test(text) ? Number(text) : text;
  return text;
}

/** Say what is wrong with a field; false if the form has none that the problem names. */
export function showFieldError(form, problem) {
  const input = problem.field && form.elements[problem.field];
  if (!input) return false;
  const error = document.createElement("span");
  error.className = "wrong";
  error.id = `wrong-${input.name}`;
  error.setAttribute("role", "alert");
  error.textContent = problem.fieldError;
  (input.closest(".joined") ?? input).after(error);
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", error.id);
  const more = input.closest("details");
  if (more) more.open = true;
  input.focus();
  return true;
}

/** Take back what was said of its fields. */
export function clearFieldErrors(form) {
  for (const error of form.querySelectorAll(".wrong")) error.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}
