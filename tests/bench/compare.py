"""``make bench-compare REV=...``: two revisions in turns on this machine, and what got worse beyond noise.

Each tree's own program runs in a process of its own, and one of them is measured at a time, by the code of this tree, in
the lab's way: rounds in turns, each second one in reverse, and a verdict only where all rounds agree by a tenth. First
the rows of ``make bench`` (``rows``), then messages, with both apps running, and REST.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from app.experiments.experiment import Experiment, Planned
from app.experiments.result import Trial
from app.experiments.statistics import ROUNDS, verdicts
from app.lab.target import spec_of, target_of
from app.lab.trial import measure
from servers import discover
from tests.bench import rows
from tests.bench.tree import App, Tree

ROOT = Path(__file__).parent.parent.parent
LOADS = (
    ("asyncio", {"clients": 50, "size": 1024}),
    ("asyncio", {"clients": 10, "size": 65_536}),
    ("asyncio", {"clients": 8, "size": 64, "churn": True}),
    ("asyncio-tuned", {"clients": 50, "size": 1024}),
    ("threads", {"clients": 50, "size": 1024}),
    ("selectors", {"clients": 50, "size": 1024}),
)
CALLS = ("/servers", "/loop", "/")
MANY_CALLS = 200


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Raises:
    SystemExit: there is no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="echodeck-bench-") as folder:
        tree = Path(folder) / "tree"
        made = subprocess.run(
            ["git", "worktree", "add", "--detach", "--quiet", str(tree), revision],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise SystemExit(made.stderr.strip())
        try:
            (tree / "static" / "vendor").symlink_to(ROOT / "static" / "vendor")
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


async def trial(http: httpx.AsyncClient, app: App, experiment: Experiment, planned: Planned, variant: str) -> Trial:
    kind = discover()[variant]
    made = (await http.post(f"{app.url}/servers", json=spec_of(kind, {}))).raise_for_status().json()
    try:
        target = target_of(kind, made["host"], made["port"], app.pid)
        return await measure(experiment, planned, target, fresh=False)
    finally:
        (await http.delete(f"{app.url}/servers/{made['name']}")).raise_for_status()


async def compared(
    http: httpx.AsyncClient, apps: list[App], labels: list[str], rounds: int, seconds: float, table: Table
) -> int:
    """How many figures are worse."""
    worse = 0
    for variant, load in LOADS:
        experiment = Experiment.model_validate(
            {
                "variants": [{"variant": variant, "label": label} for label in labels],
                "seconds": seconds,
                "rounds": rounds,
                **load,
            }
        )
        trials = []
        for number in range(rounds):
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                planned = Planned(which, None, number)
                trials.append(await trial(http, apps[which], experiment, planned, variant))
        words = f"{variant}, {' '.join(f'{name} {value}' for name, value in load.items())}"
        for one in verdicts(experiment, trials):
            if one.figure == "p99_us" or one.ratio is None or one.low is None or one.high is None:
                continue
            says = one.says if not one.sure else "worse" if one.better == labels[1] else "better"
            worse += says == "worse"
            table.add_row(words, one.figure, f"{one.ratio:.2f}", f"{one.low:.2f}-{one.high:.2f}", says)
    return worse


async def calls(http: httpx.AsyncClient, apps: list[App], rounds: int, table: Table) -> int:
    """REST and the page's first paint, by time."""
    worse = 0
    for path in CALLS:
        ratios = []
        for number in range(rounds):
            took = [0.0, 0.0]
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                began = time.perf_counter()
                for _ in range(MANY_CALLS):
                    (await http.get(apps[which].url + path)).raise_for_status()
                took[which] = time.perf_counter() - began
            ratios.append(took[0] / took[1])
        *judged, says = rows.judge(ratios)
        worse += says == "worse"
        table.add_row(f"GET {path}", "seconds", *judged, says)
    return worse


async def served(apps: list[App], labels: list[str], rounds: int, seconds: float, table: Table) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        worse = await compared(http, apps, labels, rounds, seconds, table)
        return worse + await calls(http, apps, rounds, table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="what to compare the present tree with")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=1.5)
    given = parser.parse_args()
    labels = ["here", given.revision]
    table = Table("what", "figure", "ratio", "of rounds", f"here is, against {given.revision}", box=None)
    worse = 0
    with checked_out(given.revision) as path:
        here, there = Tree(ROOT), Tree(path)
        for row in rows.compared(here, there, given.rounds):
            table.add_row(*row)
            worse += row[-1] == "worse"
        with here.app() as ours, there.app() as theirs:
            worse += asyncio.run(served([ours, theirs], labels, given.rounds, given.seconds, table))
    Console().print(table)
    Console().print(f"{worse} worse" if worse else "nothing is worse beyond noise")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
