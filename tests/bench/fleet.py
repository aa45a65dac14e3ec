"""A fleet of three nodes on this machine: how soon servers are back, what lists, the feed and terminals through another
node cost, what an idle node costs, and what two nodes do against one.

    python -m tests.bench.fleet
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from base64 import b64decode
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from websockets.asyncio.client import connect

from app.kernel.ports import free_ports
from tests.bench import bridge
from tests.bench.load import load
from tests.bench.watching import median_ms, share
from tests.checking import checking
from tests.engines import until
from tests.fleets import Fleet, fleet

KILLS = 20
FLOATING = 6
SERVERS = 3000
console = Console()


def takeovers(made: Fleet) -> None:
    """After each of ``KILLS`` kills and drains, when the last server of the node answers elsewhere."""
    ports = {f"f{number}": int(made[1].make(f"f{number}", port=free_ports(1)[0])["port"]) for number in range(FLOATING)}
    until(lambda: made.all_run(count=FLOATING), "all run")
    killed: list[tuple[float, int, list[str]]] = []
    drained: list[tuple[float, int, list[str]]] = []
    with checking(ports, (1, 2, 3)) as checker:
        for turn in track(range(KILLS), "kills and drains", console=console, transient=True):
            for ends, kills in ((killed, True), (drained, False)):
                number = 2 + turn % 2
                node = made[number]
                until(
                    lambda node=node: any(one["node"] == node.name for one in made[1].servers().values()), "it has some"
                )
                had = [name for name, one in made[1].servers().items() if one["node"] == node.name]
                time.sleep(random.random())
                ends.append((time.monotonic(), number, had))
                if kills:
                    node.kill()
                else:
                    made[1].http.post(f"/nodes/{node.name}/drain").raise_for_status()
                until(lambda node=node: made.all_run(but=(node.name,), count=FLOATING), "they run elsewhere")
                if kills:
                    node.start()
                    until(node.ready, "it is back")
                    until(lambda node=node: made[1].nodes()[node.name]["state"] == "ready", "it is known")
                else:
                    made[1].http.post(f"/nodes/{node.name}/resume").raise_for_status()
    record = checker.record
    for what, ends in (("kill -9", killed), ("drain", drained)):
        back = [max(record.back_after(name, at, number) for name in had) for at, number, had in ends if had]
        console.print(
            f"{what} of a node, {len(back)} times: all of its servers answer elsewhere after {statistics.median(back):.2f} s, "
            f"at worst {max(back):.2f} s; seen where they were not: {len(record.unlike(made.etcd.had()))} times"
        )
    for name in ports:
        made[1].http.delete(f"/servers/{name}").raise_for_status()


def lists(made: Fleet) -> None:
    before = bridge.memory(made[1].pid)
    for number in track(range(SERVERS), "servers", console=console, transient=True):
        made[1 + number % 3].make(f"many{number}", on=f"n{1 + number % 3}", start=False)
    assert len(made[1].servers()) == SERVERS
    grown = bridge.memory(made[1].pid) - before
    page = median_ms(lambda: made[1].http.get("/servers").raise_for_status())
    whole = median_ms(lambda: made[1].servers(), 5)
    one = median_ms(lambda: made[1].http.get("/servers", headers={"echodeck-hop": "bench"}).raise_for_status())
    console.print(
        f"GET /servers over 3 × {SERVERS // 3:,}: {page:.0f} ms for a page of 1,000, {whole:.0f} ms for all in three "
        f"(a node alone, its own 1,000: {one:.0f} ms)"
    )
    console.print(
        f"a node of a fleet with {SERVERS:,} servers, {SERVERS // 3:,} of them its own: {grown / SERVERS:.1f} KiB each"
    )
    console.print(f"idle, with {SERVERS:,} servers: {share(made[3].pid, 20):.2%} of a core")
    _engine(made)
    _feed_between(made)
    for number in range(SERVERS):
        made[1].http.delete(f"/servers/many{number}")


def _engine(made: Fleet) -> None:
    with httpx.Client(base_url=made.etcd.urls[0]) as engine:
        every = {"key": "AA==", "range_end": "AA=="}
        found = engine.post("/v3/kv/range", json=every).json()
        status = engine.post("/v3/maintenance/status", json={}).json()
        sizes = [len(b64decode(one["key"])) + len(b64decode(one.get("value", ""))) for one in found["kvs"]]
    console.print(
        f"the engine has {len(sizes):,} keys, {statistics.mean(sizes):.0f} bytes each; its file is "
        f"{int(status['dbSize']) / 1e6:.1f} MB; {len(made.nodes)} watches, {2 * len(made.nodes)} renewals a second"
    )


def _feed_between(made: Fleet) -> None:
    """What a node sends another that has a reader: the snapshot, and then while nothing happens."""
    first, later, began = 0, 0, time.monotonic()
    with made[2].http.stream("GET", "/events", headers={"echodeck-hop": "bench"}) as events:
        for chunk in events.iter_raw():
            waited = time.monotonic() - began
            first, later = (first + len(chunk), later) if waited < 3 else (first, later + len(chunk))
            if waited > 13:
                break
    console.print(
        f"a node's feed to another: {first / 1e6:.2f} MB at the start ({SERVERS // 3:,} servers), then {later / 10e3:.1f} kB/s"
    )


async def _lags(made: Fleet, times: int) -> list[float]:
    seen: dict[str, float] = {}
    lags = []
    async with (
        connect(f"ws://127.0.0.1:{made.port}/events?topics=servers", max_size=None) as events,
        httpx.AsyncClient(base_url=made[2].url) as http,
    ):

        async def read() -> None:
            async for message in events:
                found = json.loads(message)
                if found["event"] == "server":
                    seen.setdefault(found["data"]["name"], time.monotonic())

        reading = asyncio.create_task(read())
        await asyncio.sleep(1)
        for number in range(times):
            name = f"lag{number}"
            body = {"variant": "asyncio", "port": 0, "name": name, "on": "n3"}
            (await http.post("/servers", json=body)).raise_for_status()
            answered = time.monotonic()
            while name not in seen:
                await asyncio.sleep(0.001)
            lags.append(max(0.0, seen[name] - answered) * 1000)
            (await http.delete(f"/servers/{name}")).raise_for_status()
        reading.cancel()
    return lags


def feed(made: Fleet) -> None:
    lags = asyncio.run(_lags(made, 50))
    console.print(
        f"the feed of all: a server of another node is told {statistics.median(lags):.0f} ms after the answer, at worst {max(lags):.0f} ms"
    )


def terminals(made: Fleet) -> None:
    for name, node in (("here", "n1"), ("there", "n2")):
        made[1].make(name, on=node, backlog=4096)
    pid = made[1].pid
    for sessions, size in ((50, 1024), (10, 65536)):
        found: dict[str, list[float]] = {"here": [], "there": []}
        for _ in range(5):
            for name, rates in found.items():
                measured = bridge.load(made.port, f"/servers/{name}/terminal", sessions, size, 1.0, pid)
                rates.append(measured.rate)
                time.sleep(0.3)
        ratio = statistics.median(there / here for here, there in zip(found["here"], found["there"], strict=True))
        console.print(
            f"terminals, {sessions} × {size // 1024} KiB: {statistics.median(found['here']):,.0f} messages a second on the "
            f"node itself, {statistics.median(found['there']):,.0f} through another: × {ratio:.2f}"
        )
    for name in ("here", "there"):
        made[1].http.delete(f"/servers/{name}").raise_for_status()


def two_against_one(made: Fleet) -> None:
    ports = {
        node: made[1].make(f"rate-{node}", on=node, host="127.0.0.1", backlog=4096)["port"] for node in ("n1", "n2")
    }
    one, two = [], []
    for _ in range(5):
        one.append(_rates([ports["n1"], ports["n1"]]))
        two.append(_rates([ports["n1"], ports["n2"]]))
    ratio = statistics.median(b / a for a, b in zip(one, two, strict=True))
    console.print(
        f"two clients' processes at one node {statistics.median(one):,.0f} messages a second, at a node each "
        f"{statistics.median(two):,.0f}: × {ratio:.2f} (clients and nodes share {os.cpu_count()} processors)"
    )


def _rates(ports: list[int]) -> float:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(len(ports)) as pool:
        return sum(pool.map(load, ports, [50] * len(ports), [1024] * len(ports), [1.0] * len(ports)))


def idle(made: Fleet) -> None:
    console.print(f"an idle node of a fleet: {share(made[3].pid, 10):.2%} of a core")


def main() -> None:
    for measure in (idle, takeovers, feed, terminals, two_against_one, lists):
        with tempfile.TemporaryDirectory(prefix="echodeck-") as folder, fleet(Path(folder), 3) as made:
            measure(made)


if __name__ == "__main__":
    main()
