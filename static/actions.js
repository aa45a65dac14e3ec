// What can be done with a server, and how a button says that it is being done.
import {at, isAt} from "./facts.js";
import {go} from "./navigation.js";
import {notice, showProblem} from "./notices.js";
import {call, serverPath} from "./rest.js";
import {isTold} from "./said.js";
import {_} from "./words.js";

/** `start`, `stop`, `restart` or `remove` a server. */
export async function act(name, action) {
  if (action !== "remove") return call("POST", serverPath(name, action));
  const {spec, desired} = await call("GET", serverPath(name));
  await call("DELETE", serverPath(name));
  isTold(name);
  notice(_("%(name)s was removed.", {name}), {
    undo: {
      words: _("Undo"),
      act: () => call("POST", "/servers", {...spec, name, start: desired === "running"}).catch(showProblem),
    },
  });
  if (isAt(`/ui/servers/${encodeURIComponent(name)}`)) go(at("/"), {push: true});
}

/** The button says that it is at work until the promise is settled; what goes wrong is told. */
export async function busyWhile(button, work) {
  button?.setAttribute("aria-busy", "true");
  try {
    return await work;
  } catch (problem) {
    showProblem(problem);
  } finally {
    button?.removeAttribute("aria-busy");
  }
}
