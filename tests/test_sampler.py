"""The timer whose signal samples the loop: whom it interrupts, whom it does not, and where there is none."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from app.loop.ownership import OWNER, Owner
from app.loop.sampler import Sampler
from app.loop.thread_timer import SIGNAL, ThreadTimer, Unsupported
from app.shapes.loop import LoopNow, LoopShape
from tests.conftest import Program, Start
from tests.helpers import PATIENCE, until
from tests.programs import make

ROOT = Path(__file__).parent.parent


def compute(seconds: float, done: Any = lambda: False) -> None:
    """Have the thread busy for so much processor time."""
    used = time.thread_time()
    while time.thread_time() - used < seconds and not done():
        pass


async def test_shares_are_those_of_the_tasks_own_clocks(watched: Any, begin: Start) -> None:
    """Together with other processes, a callback has the loop for longer than it uses the processor: that counts."""
    had: Counter[str] = Counter()

    def serves(name: str, seconds: float) -> Any:
        async def serve(listener: object, options: object) -> None:
            while True:
                began = time.monotonic()
                compute(seconds)
                had[name] += time.monotonic() - began  # type: ignore[assignment]
                await asyncio.sleep(0)

        return serve

    names = {
        name: (await begin(serves(name, seconds))).name for name, seconds in {"one": 0.003, "other": 0.001}.items()
    }
    ratio = 0.0
    sums: Counter[str] = Counter()

    def near() -> bool:
        nonlocal ratio
        for name, server in names.items():
            sums[name] += watched.sampler.shares().get(server, 0.0)
        ratio = sums["one"] / (sum(sums.values()) or 1)
        return sum(had.values()) > 3 and abs(ratio - had["one"] / sum(had.values())) < 0.1

    await until(near, "the shares are right")
    assert watched.sampler.shares()["idle"] < 0.5


async def test_a_stall_that_waits_for_a_socket_is_recorded_with_its_stack(watched: Any, begin: Start) -> None:
    async def receives(listener: Any, options: object) -> None:
        """Blocks the loop in a system call, until the client hangs up."""
        listener.setblocking(False)
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.setblocking(True)
        connection.recv(1)

    server = await begin(receives)
    await until(lambda: watched.sampler._every > 100_000_000, "the loop is idle, and seldom sampled")
    code = "import socket, sys, time; c = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); time.sleep(1)"
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(server.spec.port))
    await until(lambda: any(stall.server == server.name for stall in watched.sampler.stalls), "it is recorded")
    await client.wait()
    (stall,) = [stall for stall in watched.sampler.stalls if stall.server == server.name]
    assert 0.5 < stall.seconds < 1 + PATIENCE
    assert (stall.stack[-1].function, stall.stack[-1].code) == ("receives", "connection.recv(1)")


def nap() -> int:
    """Wait in a system call that any signal ends, poll(2); 0 if none did."""
    return int(ctypes.CDLL(None).poll(None, 0, 300))


async def test_other_threads_are_not_interrupted(watched: Any, begin: Start) -> None:
    await begin("nonblocking")  # keeps the loop busy
    await until(lambda: watched.sampler.shares()["idle"] < 0.5, "the loop is busy")
    ticks = len(watched.sampler._samples)
    naps: list[int] = []
    threads = [threading.Thread(target=lambda: naps.append(nap())) for _ in range(10)]
    for thread in threads:
        thread.start()
    await until(lambda: len(naps) == 10, "they have waited")
    assert len(watched.sampler._samples) > ticks
    assert naps == [0] * 10


async def test_threads_that_compute_cause_no_samples(watched: Any, begin: Start) -> None:
    """The timer is the thread's, not the process'."""

    def computes(listener: Any, options: object) -> None:
        listener.settimeout(0)
        while True:
            try:
                listener.accept()
            except BlockingIOError:
                compute(0.01)

    server = await begin(computes)
    await until(lambda: watched.sampler.thread_shares().get(server.name, 0) > 0.05, "it computes")
    assert watched.sampler.shares().get(server.name, 0.0) == 0.0


async def test_children_have_no_timer_and_the_signals_default(watched: Any) -> None:
    assert watched.sampler.works
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(open('/proc/self/status').read())"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    output, _ = await child.communicate()
    assert child.returncode == 0
    sets = dict(re.findall(rb"^Sig(Blk|Ign|Cgt):\s+([0-9a-f]+)$", output, re.MULTILINE))
    assert {name: int(sets[name], 16) >> (SIGNAL - 1) & 1 for name in sets} == {b"Blk": 0, b"Ign": 0, b"Cgt": 0}


ENDS = """
import asyncio, atexit, time
from app.loop.sampler import Sampler

def compute(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass

class Last:
    def __del__(self): compute(0.2)

async def main():
    sampler.start(lambda: {})
    compute(0.2)

sampler, last = Sampler(), Last()
atexit.register(compute, 0.2)
asyncio.run(main())
compute(0.2)
"""


def test_a_program_that_never_stops_it_ends_as_any_other() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_it_can_be_started_again_after_its_end() -> None:
    for _ in range(3):
        sampler = Sampler()
        sampler.start(dict)
        assert sampler.works
        sampler.stop()
        assert not sampler.works
        assert signal.getsignal(SIGNAL) is signal.SIG_DFL


async def test_a_second_one_measures_nothing_and_leaves_the_first_alone(watched: Any) -> None:
    second = Sampler()
    second.start(dict)
    assert not second.works
    second.stop()
    sampled = len(watched.sampler._samples)
    await until(lambda: len(watched.sampler._samples) > sampled, "the first goes on")


def test_on_another_thread_shares_are_not_measured_and_lag_is() -> None:
    found: dict[str, Any] = {}

    async def run() -> None:
        sampler = Sampler()
        sampler.start(dict)
        await until(lambda: sampler.lag().max > 0, "there is a lag")
        found.update(works=sampler.works, shares=sampler.shares(), of_one=sampler.share_of("one"))
        found.update(shape=LoopShape.of(sampler, []), now=LoopNow.of(sampler))
        sampler.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join(2 * PATIENCE)
    assert (found["works"], found["shares"], found["of_one"]) == (False, {}, None)
    assert (found["shape"].share, found["now"].share) == ({}, {})
    assert found["shape"].lag_ms.max > 0


def test_the_timer_is_for_the_main_thread() -> None:
    refused: list[Unsupported] = []

    def make() -> None:
        try:
            ThreadTimer(lambda number, frame: None)
        except Unsupported as reason:
            refused.append(reason)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


class Busy:
    name = "busy"


async def test_a_signal_of_somebody_else_is_no_sample(watched: Any) -> None:
    owner: Owner = Busy()  # type: ignore[assignment]
    OWNER.set(owner)
    watched.sampler._due = time.monotonic_ns() + 10**12  # the timer's own come later
    sampled = len(watched.sampler._samples)
    for _ in range(100):
        os.kill(os.getpid(), SIGNAL)
    assert len(watched.sampler._samples) == sampled


async def test_a_process_that_was_stopped_did_not_stall(program: Any) -> None:
    running: Program = program()
    made = make(running, "nonblocking")

    def loop() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{running.url}/loop").json()
        return found

    await until(lambda: loop()["share"].get(str(made["name"]), 0) > 0.2, "it is busy")
    for _ in range(2):
        running.signal(signal.SIGSTOP)
        await asyncio.sleep(3)  # that is what it must not take for a stall; a busy machine makes shorter ones
        running.signal(signal.SIGCONT)
        loop()  # it goes on
    assert [stall for stall in loop()["stalls"] if stall["seconds"] > 2] == []
