// The glass's pages: recordings are played, a comparison is made while its page says so.
import {call} from "../rest.js";
import {at} from "../facts.js";
import {_} from "../words.js";
import {play} from "./player.js";

export function mount(main, feed) {
  feed.want(["servers", "loop"]);
  const stage = main.querySelector("#play");
  if (stage) return show(stage);
  const form = main.querySelector("#compare");
  return form ? follow(form) : () => {};
}

function show(stage) {
  let end = () => {}, over = false;
  fetch(at(stage.dataset.from), {headers: {accept: "application/json"}}).then(async (response) => {
    if (!response.ok) throw new Error(String(response.status));
    const found = await response.json();
    if (!over) end = play(stage, found.items ?? [found], _);
  }).catch(() => { stage.textContent = _("It cannot be shown: the app does not answer, or has forgotten it."); });
  return () => {
    over = true;
    end();
  };
}

function follow(form) {
  const [script, says, button] = [form.elements.script, form.querySelector(".says"), form.querySelector("button")];
  const chosen = form.elements.lesson;
  const lessons = JSON.parse(document.querySelector("#lessons").textContent);
  const take = () => {
    const lesson = lessons[chosen.value];
    if (!lesson) return;
    script.value = lesson.script;
    form.querySelector(".lesson").textContent = lesson.lesson;
    for (const box of form.querySelectorAll("[name=variants]")) box.checked = lesson.variants.includes(box.value);
  };
  const send = async (event) => {
    event.preventDefault();
    const variants = [...form.querySelectorAll("[name=variants]:checked")].map((box) => box.value);
    button.disabled = true;
    says.textContent = _("The servers are started, and the clients do what the script says …");
    says.classList.remove("trouble");
    try {
      const made = await call("POST", "/comparisons", {script: script.value, variants});
      location.assign(at(`/ui/comparisons/${encodeURIComponent(made.id)}`));
    } catch (problem) {
      says.textContent = problem.detail ?? String(problem);
      says.classList.add("trouble");
      const line = problem.errors?.[0]?.line;
      if (line) {
        const starts = script.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
        script.focus();
        script.setSelectionRange(starts, starts + (script.value.split("\n")[line - 1] ?? "").length);
      }
    } finally {
      button.disabled = false;
    }
  };
  chosen.addEventListener("change", take);
  form.addEventListener("submit", send);
  return () => {
    chosen.removeEventListener("change", take);
    form.removeEventListener("submit", send);
  };
}
