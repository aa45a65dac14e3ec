// Forms of settings: what an input says, by what the template wrote at it, and what is wrong with it, beside it.

const NUMBERS = {whole: /^-?\d{1,15}$/, decimal: /^-?\d{1,15}(\.\d{1,9})?$/};

/**
 * What an input says, as the app wants it: null where it is empty and may be. What is no number goes as it stands, so that
 * the app can say what is wrong.
 */
export function valueOf(input) {
  const text = input.value.trim();
  const {kind} = input.dataset;
  if (text === "" && "nullable" in input.dataset) return null;
  if (kind === "flag") return text === "True";
  return NUMBERS[kind]?.test(text) ? Number(text) : text;
}

/** The reverse: a value of the app's as an input has it. */
export const textOf = (value) => (value === null ? "" : value === true ? "True" : value === false ? "False" : String(value));

/** The inputs of a form that are settings. */
export const settingsOf = (form) => [...form.elements].filter((input) => "kind" in input.dataset);

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
