// The walk is offered while no server runs and nobody is on it.
import {stepReached} from "../walk/walk.js";
import {progress} from "../walk/progress.js";
import {_} from "../words.js";

export function followWalkOffer(main, feed) {
  const offer = main.querySelector("#walk-offer");
  if (!offer) return () => {};
  const tell = () => {
    const nobodyRuns = [...feed.servers.values()].every((server) => server.state !== "running");
    offer.hidden = progress()?.on === true || !nobodyRuns;
    const step = stepReached();
    offer.querySelector("button").textContent = step ? _("Go on with step %(n)s", {n: step + 1}) : _("Begin the walk");
  };
  document.addEventListener("walk", tell);
  const end = feed.follow((changes) => {
    if (changes.servers.size || changes.snapshot) tell();
  });
  return () => {
    document.removeEventListener("walk", tell);
    end();
  };
}
