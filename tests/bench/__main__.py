"""``make bench``: how long programs take, what an idle app and long lists cost (``rows``); message rates of each variant
against the tutorial's last server, starts of servers, idle servers, being watched, the page.

Server on the first processor, clients on the second; rounds are interleaved, and a figure is the median of its ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.kernel.ports import free_ports
from servers import discover
from tests.bench import bridge, fleet, lens, page, rows, watching
from tests.bench.tree import Tree

ROUNDS = 5
SECONDS = 1.0
LOADS = ((50, 1024), (10, 65536))
HERE = [sys.executable, "-m"]
console = Console()


def on(processor: int, *command: str) -> subprocess.Popen[str]:
    processors = sorted(os.sched_getaffinity(0))
    chosen = {processors[processor % len(processors)]}
    return subprocess.Popen(
        command,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
    )


def rate(port: int, connections: int, size: int) -> float:
    process = on(1, *HERE, "tests.bench.load", str(port), str(connections), str(size), str(SECONDS))
    printed, _ = process.communicate()
    return float(printed)


def rates(api: httpx.Client, pid: int) -> None:
    echoing = [v for v in discover().values() if v.wire.answers == "each chunk" and not v.wire.prefix]
    ports = {
        v.name: api.post("/servers", json={"variant": v.name, "port": 0, "backlog": 4096}).json()["port"]
        for v in echoing
    }
    tutorial_port = free_ports(1)[0]
    tutorial = on(0, *HERE, "tests.bench.tutorial", str(tutorial_port))
    time.sleep(1)
    table = Table(
        "messages a second, and × the tutorial's last server", *(f"{n} × {size // 1024} KiB" for n, size in LOADS)
    )
    found: dict[str, list[list[float]]] = {name: [[] for _ in LOADS] for name in ["tutorial", *ports]}
    for _ in track(range(ROUNDS), "rounds", console=console, transient=True):
        for number, (connections, size) in enumerate(LOADS):
            for name, port in {"tutorial": tutorial_port, **ports}.items():
                found[name][number].append(rate(port, connections, size))
    for name, by_load in found.items():
        cells = []
        for number, measured in enumerate(by_load):
            ratio = statistics.median(
                ours / theirs for ours, theirs in zip(measured, found["tutorial"][number], strict=True)
            )
            cells.append(f"{statistics.median(measured):,.0f}   × {ratio:.2f}")
        table.add_row(name, *cells)
    tutorial.kill()
    tutorial.communicate()
    console.print(table)


def starts(api: httpx.Client, pid: int) -> None:
    times = []
    for _ in track(range(1000), "servers", console=console, transient=True):
        began = time.perf_counter()
        api.post("/servers", json={"variant": "asyncio", "port": 0}).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    early, late = statistics.median(times[5:20]), statistics.median(times[-15:])
    console.print(f"start of the 10th server {early:.2f} ms, of the 1,000th {late:.2f} ms: × {late / early:.2f}")


def idle(api: httpx.Client, pid: int) -> None:
    for name in discover():
        if name != "nonblocking":
            api.post("/servers", json={"variant": name, "port": 0}).raise_for_status()
    before, began = ticks(pid), time.perf_counter()
    time.sleep(10)
    share = (ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / (time.perf_counter() - began)
    console.print(f"all variants but nonblocking, idle: {share:.2%} of a core")


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def bridged(api: httpx.Client, pid: int) -> None:
    bridge.against_websockify(api, pid, on)


def seen(api: httpx.Client, pid: int) -> None:
    lens.cost(api, pid, rate)


def main() -> None:
    console.print(rows.measured(Tree(Path(__file__).parents[2]), ROUNDS))
    watching.memory()
    for measure in (
        rates,
        starts,
        idle,
        bridged,
        seen,
        watching.beside_the_idle,
        watching.beside_the_busy,
        watching.beside_a_thousand_servers,
        page.first_paint,
        page.main_thread,
    ):
        port = free_ports(1)[0]
        echodeck = str(Path(sys.executable).with_name("echodeck"))
        app = on(0, echodeck, "serve", "--port", str(port), "--state", ":memory:")
        assert app.stdout is not None
        app.stdout.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as api:
            measure(api, app.pid)
        app.terminate()
        app.wait()
    fleet.main()


if __name__ == "__main__":
    main()
