"""An app that nobody uses hardly wakes: what its threads do meanwhile, as the kernel counts it."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from servers import discover
from tests.conftest import Program
from tests.helpers import until
from tests.programs import Start, make

SECONDS = 3.0
MOST_WAKEUPS = 6.0
"""A second. A poll of the kind that this test is to find would wake the app 10 times a second more. uvloop does not tell
the sampler when it wakes, which ticks 6 times a second there."""


def wakeups(pid: int) -> dict[int, int]:
    """How often each thread was given the processor, by its number: proc_pid_status(5)."""
    found = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        counts = re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", status.read_text(), re.MULTILINE)
        found[int(status.parent.name)] = sum(map(int, counts))
    return found


def rates(pid: int) -> tuple[float, float]:
    """Wakeups a second: of the main thread, and of all others together."""
    before, began = wakeups(pid), time.monotonic()
    time.sleep(SECONDS)
    after, seconds = wakeups(pid), time.monotonic() - began
    more = {thread: (count - before.get(thread, 0)) / seconds for thread, count in after.items()}
    return more.pop(pid), sum(more.values())


async def at_rest(running: Program, most: float = MOST_WAKEUPS) -> None:
    """A machine that is busy with other things takes the processor away, which counts as well: not every time."""
    found: list[tuple[float, float]] = []

    def rests() -> bool:
        found.append(rates(running.process.pid))
        return found[-1][0] < most and found[-1][1] < 1

    try:
        await until(rests, "the app is idle", patience=60)
    except AssertionError:
        pytest.fail(f"wakeups a second, of the main thread and of others: {found}")


async def test_an_app_without_servers_is_idle(program: Start) -> None:
    await at_rest(program(), MOST_WAKEUPS / 2)  # nothing looks at servers each second


async def test_an_app_on_uvloop_is_idle(program: Start) -> None:
    await at_rest(program("--loop", "uvloop"), 2 * MOST_WAKEUPS)


async def test_an_app_whose_servers_wait_is_idle(program: Start) -> None:
    running = program()
    for variant in discover():
        if variant != "nonblocking":
            make(running, variant)
    await at_rest(running)


def test_an_answer_has_the_date_of_its_second(program: Start) -> None:
    running = program()
    for _ in range(3):
        before = int(time.time())
        date = parsedate_to_datetime(httpx.get(f"{running.url}/healthz").headers["date"])
        assert before <= date.timestamp() <= time.time()
        while int(time.time()) == int(date.timestamp()):
            time.sleep(0.01)
