// What buttons and forms do: calls of REST in the place of the forms' own round trips.
import {go} from "./navigation.js";
import {notice, tellProblem} from "./notices.js";
import {call, serverPath} from "./rest.js";
import {_} from "./words.js";

export function followActions() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("form.actions")) {
      event.preventDefault();
      busyWhile(event.submitter, act(form.dataset.server, event.submitter.dataset.action));
    } else if (form.matches("form[data-start]")) {
      event.preventDefault();
      busyWhile(event.submitter, call("POST", "/servers", {variant: form.dataset.start, port: 0}));
    }
  });
  document.addEventListener("click", async (event) => {
    if (event.target.closest?.("[data-walk]")) (await import("./walk/walk.js")).takeWalk();
    const opener = event.target.closest?.("[data-terminal]");
    if (!opener || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    const {openTerminal} = await import("./terminal/dock.js");
    openTerminal(opener.dataset.terminal);
  });
}

/** `start`, `stop`, `restart` or `remove` a server. */
export async function act(name, action) {
  if (action !== "remove") return call("POST", serverPath(name, action));
  const {spec, desired} = await call("GET", serverPath(name));
  await call("DELETE", serverPath(name));
  notice(_("%(name)s was removed.", {name}), {
    undo: {
      words: _("Undo"),
      act: () => call("POST", "/servers", {...spec, name, start: desired === "running"}).catch(tellProblem),
    },
  });
  if (location.pathname === `/ui/servers/${encodeURIComponent(name)}`) go("/");
}

/** The button says that it is at work until the promise is settled; what goes wrong is told. */
export async function busyWhile(button, work) {
  button?.setAttribute("aria-busy", "true");
  try {
    return await work;
  } catch (problem) {
    tellProblem(problem);
  } finally {
    button?.removeAttribute("aria-busy");
  }
}
