"""``make bench-compare REV=...``: two revisions in turns on this machine, and what got slower beyond noise.

Both apps run at once, each in a process of its own, and one of them is measured at a time, in the lab's way: rounds in
turns, each second one in reverse, and a verdict only where all rounds agree by a tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from app.experiments.experiment import Experiment, Planned
from app.experiments.result import Trial
from app.experiments.statistics import DIFFERS, ROUNDS, verdicts
from app.lab.subject import Apart, apart, spec_of, target
from app.lab.trial import measure
from servers import discover

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


@asynccontextmanager
async def checked_out(revision: str) -> AsyncIterator[Path]:
    """Raises:
    SystemExit: there is no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="echodeck-bench-") as folder:
        tree = Path(folder) / "tree"
        made = subprocess.run(  # noqa: ASYNC221  # nothing else runs yet
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
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)  # noqa: ASYNC221


async def trial(house: Apart, experiment: Experiment, planned: Planned, variant: str) -> Trial:
    kind = discover()[variant]
    name, host, port = await house.start(spec_of(kind, {}))
    try:
        return await measure(experiment, planned, target(kind, host, port, house.pid), fresh=False)
    finally:
        await house.stop(name)


async def compared(houses: list[Apart], labels: list[str], rounds: int, seconds: float, table: Table) -> int:
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
                trials.append(await trial(houses[which], experiment, Planned(which, None, number), variant))
        words = f"{variant}, {' '.join(f'{name} {value}' for name, value in load.items())}"
        for one in verdicts(experiment, trials):
            if one.figure == "p99_us" or one.ratio is None or one.low is None or one.high is None:
                continue
            says = one.says if not one.sure else "slower" if one.better == labels[1] else "faster"
            worse += says == "slower"
            table.add_row(words, one.figure, f"{one.ratio:.2f}", f"{one.low:.2f}-{one.high:.2f}", says)
    return worse


async def calls(urls: list[str], rounds: int, table: Table) -> int:
    """REST and the page's first paint, by time."""
    worse = 0
    async with httpx.AsyncClient(trust_env=False) as http:
        for path in CALLS:
            ratios = []
            for number in range(rounds):
                took = [0.0, 0.0]
                for which in (0, 1) if number % 2 == 0 else (1, 0):
                    began = time.perf_counter()
                    for _ in range(MANY_CALLS):
                        (await http.get(urls[which] + path)).raise_for_status()
                    took[which] = time.perf_counter() - began
                ratios.append(took[0] / took[1])
            sure = (min(ratios) > 1 or max(ratios) < 1) and abs(median(ratios) - 1) >= DIFFERS
            says = ("slower" if median(ratios) > 1 else "faster") if sure else "no difference shown"
            worse += says == "slower"
            table.add_row(
                f"GET {path}", "seconds", f"{median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}", says
            )
    return worse


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="what to compare the present tree with")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=1.5)
    given = parser.parse_args()
    labels = ["here", given.revision]
    table = Table("what", "figure", "ratio", "of rounds", f"here is, against {given.revision}", box=None)
    async with AsyncExitStack() as stack:
        tree = await stack.enter_async_context(checked_out(given.revision))
        houses = [
            await stack.enter_async_context(apart("asyncio", ROOT / "echodeck.py")),
            await stack.enter_async_context(apart("asyncio", tree / "echodeck.py")),
        ]
        worse = await compared(houses, labels, given.rounds, given.seconds, table)
        worse += await calls([house.url for house in houses], given.rounds, table)
    Console().print(table)
    Console().print(f"{worse} slower" if worse else "nothing is slower beyond noise")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
