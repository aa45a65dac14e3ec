"""``make report``: three experiments of the lab, measured here; their plots and figures are what README shows."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

import echodeck
from app.experiments import drawing, plots
from app.experiments.built_in import BUILT_IN
from app.experiments.result import Result

ROOT = Path(__file__).parent.parent
SHOWN = {"polling-burns": "server_share", "forty-milliseconds": "p50_us", "the-knee": "p99_us"}
"""Experiments, and the figure that is drawn of each."""

LOOK_EVERY = 1.0
"""Seconds: who asks without end is the noise for which trials are repeated."""

BEGIN = "<!-- report: made by `make report` -->\n"


def measured(deck: echodeck.Client, name: str, progress: Progress) -> Result:
    begun = deck.measure(name)
    task = progress.add_task(name, total=begun.progress.of)
    with progress:
        while not (now := deck.experiment(begun.id)).over:
            progress.update(task, completed=now.progress.trial)
            time.sleep(LOOK_EVERY)
    if now.state != "done":
        raise SystemExit(f"{name}: {now.state}, {now.reason}")
    return Result.model_validate(deck.result(begun.id))


def section(results: dict[str, Result]) -> str:
    """Of README: what was measured, where, when and how."""
    machine = next(iter(results.values())).machine
    lines = [
        f"Measured on {datetime.now(UTC):%d %B %Y} with `make report`, on {machine.processor}, {machine.cores} cores, "
        f"{machine.system}, {machine.python}; load and server share the machine, so that the ratios say more than the "
        "figures.\n"
    ]
    for name, result in results.items():
        lines.append(f"![{plots.FIGURES[SHOWN[name]].title}](report-{name}.svg)\n")
        lines.append(f"**{BUILT_IN[name].title}.** {BUILT_IN[name].question} `echodeck lab run {name}`\n")
        lines += [f"*{note}*\n" for note in result.noise.notes]
    return "\n".join(lines)


def main() -> None:
    results = {}
    with echodeck.running() as deck:
        for name in SHOWN:
            results[name] = measured(deck, name, Progress(console=Console(stderr=True)))
    for name, result in results.items():
        svg = drawing.standalone(plots.by_factor(result, SHOWN[name]))
        (ROOT / f"report-{name}.svg").write_text(svg, encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    if not found:
        raise SystemExit("README has no place for the report")
    readme.write_text(
        before + BEGIN + section(results) + re.sub(r"^.*?(?=<!-- /report -->)", "", rest, flags=re.DOTALL)
    )


if __name__ == "__main__":
    main()
