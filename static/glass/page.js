// The glass's pages: recordings are played, a comparison is made while its page says how far it is.
import {at} from "../facts.js";
import {go} from "../navigation.js";
import {loggedOut, nobodyAnswers} from "../rest.js";
import {_} from "../words.js";
import {play} from "./player.js";

const POLL_MS = 250;

export function mount(main, feed) {
  feed.want(["servers", "loop"]);
  const stage = main.querySelector("#play");
  if (stage) return show(stage);
  const pending = main.querySelector("#pending");
  if (pending) return awaitIt(pending);
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

/** How far each variant is, as the app paints it, until it paints something else here. */
function awaitIt(pending) {
  let timer = 0, over = false;
  const poll = async () => {
    try {
      const response = await fetch(location.href, {headers: {accept: "text/html"}});
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (over) return;
      const fresh = page.getElementById("pending");
      if (!fresh) return go(location.href);
      pending.replaceChildren(...document.adoptNode(fresh).children);
      const [said, now] = [document, page].map((one) => one.getElementById("stages"));
      if (said.textContent !== now.textContent) said.textContent = now.textContent; // read aloud, once
    } catch {
      // the header says that nobody answers
    }
    if (!over) timer = setTimeout(poll, POLL_MS);
  };
  timer = setTimeout(poll, POLL_MS);
  return () => {
    over = true;
    clearTimeout(timer);
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
    button.disabled = true;
    says.textContent = "";
    try {
      const response = await fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form)), headers: {accept: "text/html"}});
      if (response.redirected) return go(response.url, {push: true});
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      refuse(page.querySelector("#main .notice.trouble") ?? page.querySelector("#notices .notice.trouble"), response);
    } catch {
      says.textContent = nobodyAnswers().detail;
    } finally {
      button.disabled = false;
    }
  };
  /** Say why, and select the script's line that is at fault. */
  const refuse = (notice, {status, statusText}) => {
    says.textContent = status === 401 ? loggedOut() : (notice?.textContent ?? statusText);
    const line = Number(notice?.dataset.line);
    if (!line) return;
    const lines = script.value.split("\n");
    const starts = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    script.focus();
    script.setSelectionRange(starts, starts + (lines[line - 1] ?? "").length);
  };
  chosen.addEventListener("change", take);
  form.addEventListener("submit", send);
  return () => {
    chosen.removeEventListener("change", take);
    form.removeEventListener("submit", send);
  };
}
