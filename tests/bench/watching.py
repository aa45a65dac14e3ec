"""What watching costs: readers of the feed and scrapes beside thousands of connections."""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track

MANY = 10_000
BUSY = 500
READERS = 5
ROUNDS = 8
console = Console()


def processor_seconds(pid: int) -> float:
    """Of all threads of a process, to the nanosecond where /proc/stat has hundredths."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


@contextmanager
def readers(api: httpx.Client, count: int) -> Iterator[None]:
    """So many who read all that the feed tells, and throw it away."""

    def read(stream: httpx.Response) -> None:
        try:
            for _ in stream.iter_raw():
                pass
        except (httpx.HTTPError, RuntimeError):
            pass  # closed below

    with ExitStack() as streams:
        for _ in range(count):
            stream = streams.enter_context(api.stream("GET", "/events"))
            threading.Thread(target=read, args=(stream,), daemon=True).start()
        time.sleep(2)
        yield


def clients(ports: list[int], count: int, held: ExitStack) -> None:
    for number in track(range(count), "connections", console=console, transient=True):
        held.enter_context(socket.create_connection(("127.0.0.1", ports[number % len(ports)])))
    time.sleep(1)


def share(pid: int, seconds: float) -> float:
    before = processor_seconds(pid)
    time.sleep(seconds)
    return (processor_seconds(pid) - before) / seconds


def median_ms(call: Callable[[], object], times: int = 30) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def beside_the_idle(api: httpx.Client, pid: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = api.post("/servers", json={"variant": "asyncio", "port": 0, "backlog": 4096}).json()["port"]
    alone = share(pid, 4)
    with ExitStack() as held:
        clients([port], MANY, held)
        unwatched = share(pid, 4)
        with readers(api, READERS):
            before, began = processor_seconds(pid), time.perf_counter()
            for _ in range(8):
                due = time.perf_counter() + 1
                api.get("/metrics").raise_for_status()
                time.sleep(max(0.0, due - time.perf_counter()))
            watched = (processor_seconds(pid) - before) / (time.perf_counter() - began)
        console.print(
            f"{MANY:,} idle connections: {unwatched:.1%} of a core unwatched (alone {alone:.1%}), "
            f"{watched:.1%} with {READERS} readers of the feed and a scrape a second"
        )
        console.print(f"GET /connections?limit=100: {median_ms(api, '/connections?limit=100'):.1f} ms")


def beside_the_busy(api: httpx.Client, pid: int) -> None:
    made = api.post("/servers", json={"variant": "asyncio", "port": 0, "backlog": 4096}).json()
    seconds = ROUNDS * 8 + 4
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load", str(made["port"]), str(BUSY), "1024", str(seconds)],
        stdout=subprocess.DEVNULL,
    )

    def rate() -> float:
        """Messages per second of the app's processor time."""
        counted, used = api.get(f"/servers/{made['name']}").json()["bytes_in"], processor_seconds(pid)
        time.sleep(2)
        more, used_then = api.get(f"/servers/{made['name']}").json()["bytes_in"], processor_seconds(pid)
        return float(more - counted) / 1024 / (used_then - used)

    time.sleep(2)
    for count in (1, READERS):
        ratios = []
        for _ in track(range(ROUNDS // 2), "rounds", console=console, transient=True):
            alone = rate()
            with readers(api, count):
                watched = rate()
            ratios.append(watched / alone)
        console.print(
            f"{BUSY} busy connections with {count} reading the feed: × {statistics.median(ratios):.2f} the rate without"
        )
    load.kill()
    load.communicate()


def beside_a_thousand_servers(api: httpx.Client, pid: int) -> None:
    ports = [
        int(api.post("/servers", json={"variant": "asyncio", "port": 0}).json()["port"])
        for _ in track(range(1000), "servers", console=console, transient=True)
    ]
    with ExitStack() as held:
        console.print(f"1,000 servers, looked at for their series and otherwise idle: {share(pid, 10):.2%} of a core")
        clients(ports, MANY, held)
        time.sleep(5)
        stalled = api.get("/loop").json()["stalled"]
        taken = median_ms(lambda: api.get("/metrics").raise_for_status(), 8)
        loop = api.get("/loop").json()
        console.print(
            f"a scrape of 1,000 servers with {MANY:,} connections: {taken:.0f} ms; the loop was kept waiting "
            f"{loop['lag_ms']['max']:.0f} ms at most, {loop['stalled'] - stalled} stalls"
        )


def memory() -> None:
    """Python objects that an idle connection costs, all of the app in one process with the server."""
    script = Path(__file__).with_name("memory.py")
    printed = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=os.environ
    ).stdout
    console.print(printed.strip())
