"""What a lens costs: the server that is looked at, the server beside it, and the app's memory."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
from rich.console import Console
from rich.progress import track

from tests.bench.bridge import memory

ROUNDS = 5
CONNECTIONS, SIZE = 50, 1024
MINUTE = 60.0
console = Console()


@contextmanager
def looked_at(api: httpx.Client, name: str) -> Iterator[None]:
    """Somebody looks at its calls, and throws them away."""

    def read(stream: httpx.Response) -> None:
        with suppress(httpx.HTTPError, RuntimeError):  # closed below
            for _ in stream.iter_raw():
                pass

    with api.stream("GET", f"/servers/{name}/calls", timeout=None) as stream:
        threading.Thread(target=read, args=(stream,), daemon=True).start()
        time.sleep(1.5)
        yield


def cost(api: httpx.Client, pid: int, rate: Callable[[int, int, int], float]) -> None:
    made = [api.post("/servers", json={"variant": "asyncio", "port": 0, "backlog": 4096}).json() for _ in range(2)]
    seen, beside = made
    ratios: dict[str, list[float]] = {"the server that is looked at": [], "the one beside it": []}
    for _ in track(range(ROUNDS), "rounds", console=console, transient=True):
        for what, server in (("the server that is looked at", seen), ("the one beside it", beside)):
            alone = rate(server["port"], CONNECTIONS, SIZE)
            with looked_at(api, seen["name"]):
                under = rate(server["port"], CONNECTIONS, SIZE)
            ratios[what].append(under / alone)
    for what, found in ratios.items():
        console.print(f"lens on asyncio, {CONNECTIONS} × 1 KiB: {what} × {statistics.median(found):.2f} of its rate")
    before = memory(pid)
    with looked_at(api, seen["name"]):
        until = time.monotonic() + MINUTE
        while time.monotonic() < until:
            rate(seen["port"], CONNECTIONS, SIZE)
    console.print(f"a minute of that: the app's memory grew by {(memory(pid) - before) / 1024:.1f} MB")
