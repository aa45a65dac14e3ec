// The walk is offered while nobody is on it: to those who begin, while no server runs; to those who left it, always.
import {stepReached} from "../walk/walk.js";
import {progress} from "../walk/progress.js";
import {_} from "../words.js";

export function followWalkOffer(main, feed) {
  const offer = main.querySelector("#walk-offer");
  if (!offer) return () => {};
  const update = () => {
    const nobodyRuns = [...feed.servers.values()].every((server) => server.state !== "running");
    const left = progress();
    offer.hidden = left ? left.on : !nobodyRuns;
    const step = stepReached();
    offer.querySelector("h2").textContent = left ? _("You left the walk") : _("New here? Take the walk");
    offer.querySelector("button").textContent = step ? _("Go on with step %(n)s", {n: step + 1}) : _("Begin the walk");
  };
  document.addEventListener("walk", update);
  const end = feed.follow((changes) => {
    if (changes.servers.size || changes.snapshot) update();
  });
  return () => {
    document.removeEventListener("walk", update);
    end();
  };
}
