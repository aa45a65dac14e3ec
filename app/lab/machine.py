"""The machine that is measured on, and who uses its processors."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.experiments.result import Machine, Neighbour

PROC = Path("/proc")

WORTH_A_NAME = 0.03
"""Of a processor: who uses less is not named."""


def facts(loop: str, version: str) -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        loop=loop,
        echodeck=version,
    )


def _processor() -> str:
    with suppress(OSError):
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Usage:
    """Seconds of a processor that all, and each process, have used since they began."""

    at: float
    busy: float
    by_process: dict[int, tuple[str, float]]


def usage(now: float) -> Usage | None:
    """None where the system does not say."""
    if sys.platform != "linux":
        return None
    tick = os.sysconf("SC_CLK_TCK")
    try:
        fields = [int(one) for one in (PROC / "stat").read_text().splitlines()[0].split()[1:]]
    except (OSError, ValueError):
        return None
    idle = fields[3] + fields[4]
    # Guests are in user's time already; what was stolen is others' time, too.
    busy = (sum(fields[:8]) - idle) / tick
    by_process = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                head, _, tail = (entry / "stat").read_text().rpartition(")")
                times = tail.split()
                by_process[int(entry.name)] = head.partition("(")[2], (int(times[11]) + int(times[12])) / tick
    return Usage(now, busy, by_process)


def others(before: Usage, after: Usage, ours: Collection[int]) -> tuple[float, list[Neighbour]]:
    """Processors that others used between the two looks, and who they were, the busiest first.

    ``ours`` are the processes of server and generator.
    """
    seconds = after.at - before.at
    used = {
        pid: (name, (its - before.by_process.get(pid, (name, 0.0))[1]) / seconds)
        for pid, (name, its) in after.by_process.items()
    }
    measured = sum(used[pid][1] for pid in ours if pid in used)
    share = max(0.0, (after.busy - before.busy) / seconds - measured)
    found = []
    for pid, (name, its) in used.items():
        if pid not in ours and its >= WORTH_A_NAME:
            found.append(Neighbour(name="this app" if pid == os.getpid() else name, pid=pid, share=round(its, 3)))
    found.sort(key=lambda one: -one.share)
    if not found and share >= WORTH_A_NAME:
        found = [Neighbour(name="something outside of what is seen here", pid=None, share=round(share, 3))]
    return share, found[:5]
