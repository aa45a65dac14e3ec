"""``make soak``: the app under everything at once, for ten minutes; what it holds at the end must be what it held before.

Visitors of every variant, servers that come and go, pages, feeds, taps and terminals that open and close. Looked at are
memory, descriptors, threads and tasks, at rest before and after, and on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

import echodeck
from app.demo.visitors import Place, Visitors
from tests.conftest import VARIANTS, Program
from tests.helpers import Client

LOOK_EVERY = 1.0
WARM_UP = 180.0
"""Seconds after which memory should have come to its level; in a shorter time it may rise by ``RISE`` from the start."""

MEMORY_GROWTH = 16.0
"""MB that memory may grow after that: allocators and caches breathe."""

RISE = 72.0

WITH_SMALL_BOUNDS = (
    "from app.watching.view import View; View.__init__.__defaults__ = (200,); from app.cli import main; main()"
)
"""What is kept is bounded: a minute must be enough to come to the bounds."""

BARS = "▁▂▃▄▅▆▇█"


@dataclass
class Figures:
    memory_mb: float
    descriptors: int
    threads: int
    tasks: int

    @classmethod
    def of(cls, pid: int, url: str) -> Figures:
        status = Path(f"/proc/{pid}/status").read_text()
        found = {name: int(re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[0]) for name in ("VmRSS", "Threads")}
        tasks = 0
        with suppress(httpx.HTTPError):
            tasks = len(httpx.get(f"{url}/loop/tasks", params={"limit": 1000}, timeout=10).json()["items"])
        return cls(found["VmRSS"] / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())), found["Threads"], tasks)


class Guests(Visitors):
    """At the servers of each variant only: who comes to others is counted, or comes to a closed door."""

    async def _places(self) -> dict[Place, int]:
        return {place: count for place, count in (await super()._places()).items() if place.name in VARIANTS}


@dataclass
class Soak:
    program: Program
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    made: int = 0
    counted: int = 0
    over: bool = False
    figures: list[Figures] = field(default_factory=list)

    async def visit_counted(self, port: int) -> None:
        """A client that is counted on both sides."""
        async with await Client.to(port) as client:
            self.counted += 1
            await client.ask(b"hello", b"hello")

    async def come_and_go(self, api: httpx.AsyncClient) -> None:
        while True:
            self.made += 1
            name, variant = f"passing-{self.made}", self.chance.choice(sorted(VARIANTS))
            await api.post("/servers", json={"variant": variant, "port": 0, "name": name})
            await asyncio.sleep(self.chance.random())
            await api.post(f"/servers/{name}/{self.chance.choice(['stop', 'restart'])}")
            await api.delete(f"/servers/{name}")

    async def look_at_pages(self, api: httpx.AsyncClient) -> None:
        while True:
            for path in ("/", "/ui/loop", "/ui/exceptions", "/ui/servers/asyncio", "/metrics", "/connections", "/loop"):
                await api.get(path, headers={"accept": "text/html, */*"})
            await asyncio.sleep(0.2)

    async def follow(self, api: httpx.AsyncClient) -> None:
        while True:
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(self.chance.uniform(0.1, 3)), api.stream("GET", "/events") as feed:
                    async for _ in feed.aiter_lines():
                        pass

    async def tap(self, api: httpx.AsyncClient) -> None:
        while True:
            rows = (await api.get("/connections", params={"server": "asyncio"})).json()["items"]
            with suppress(httpx.HTTPError, TimeoutError):
                if rows:
                    async with asyncio.timeout(1), api.stream("GET", f"/connections/{rows[0]['id']}/tap") as tap:
                        async for _ in tap.aiter_lines():
                            pass
            await asyncio.sleep(0.1)

    async def type(self) -> None:
        url = f"ws{self.program.url.removeprefix('http')}/servers/asyncio/terminal"
        while True:
            async with connect(url, proxy=None) as terminal:
                for _ in range(self.chance.randrange(20)):
                    await terminal.send(b"x" * 1000)
                    await terminal.recv()

    async def count(self, port: int) -> None:
        while not self.over:  # a client whose task is cancelled may have been accepted already
            await self.visit_counted(port)
            await asyncio.sleep(0.01)

    async def run(self, seconds: float) -> list[str]:
        """Returns what is wrong at the end, in sentences."""
        url, pid = self.program.url, self.program.process.pid
        async with httpx.AsyncClient(base_url=url, timeout=30) as api:
            for name in VARIANTS:
                await api.post("/servers", json={"variant": name, "port": 0, "name": name, "restart": "always"})
            counted = (await api.post("/servers", json={"variant": "asyncio", "port": 0, "name": "counted"})).json()
            await self.at_rest(api)
            before = await asyncio.to_thread(Figures.of, pid, url)
            with echodeck.Client(url) as deck:
                works = [
                    Guests(deck, "127.0.0.1", self.chance).run(),
                    *(self.come_and_go(api) for _ in range(2)),
                    self.look_at_pages(api),
                    *(self.follow(api) for _ in range(4)),
                    self.tap(api),
                    *(self.type() for _ in range(3)),
                ]
                counting = asyncio.create_task(self.count(counted["port"]))
                tasks = [counting, *(asyncio.create_task(work) for work in works)]
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline:
                    done, _ = await asyncio.wait(tasks, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                    self.figures.append(await asyncio.to_thread(Figures.of, pid, url))
                self.over = True
                await counting
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for item in (await api.get("/servers")).json()["items"]:
                if item["name"].startswith("passing"):
                    await api.delete(f"/servers/{item['name']}")
            await self.at_rest(api)
            after = await asyncio.to_thread(Figures.of, pid, url)
            total = (await api.get("/servers/counted")).json()["connections"]["total"]
        return [*self.compare(before, after), *self.counts(total)]

    async def at_rest(self, api: httpx.AsyncClient) -> None:
        """Wait until nobody is inside."""
        async with asyncio.timeout(60):
            while (await api.get("/connections")).json()["items"]:
                await asyncio.sleep(0.2)
        await asyncio.sleep(2.5)  # a connection that the client keeps is kept no longer

    def compare(self, before: Figures, after: Figures) -> list[str]:
        wrong = []
        warm = int(WARM_UP / LOOK_EVERY)
        level = self.figures[warm].memory_mb if len(self.figures) > warm else before.memory_mb + RISE - MEMORY_GROWTH
        if after.memory_mb > level + MEMORY_GROWTH:
            wrong.append(f"memory grew from {level:.1f} to {after.memory_mb:.1f} MB")
        for what, spare in (("descriptors", 3), ("threads", 3), ("tasks", 5)):
            was, now = getattr(before, what), getattr(after, what)
            if now > was + spare:
                wrong.append(f"{what}: {was} at first, {now} at the end")
        self.show(before, after)
        return wrong

    def counts(self, total: int) -> list[str]:
        return [] if total == self.counted else [f"{self.counted} clients were sent, {total} are counted"]

    def show(self, before: Figures, after: Figures) -> None:
        table = Table("", "before", "most", "after", "on the way", box=None)
        for what, words in (("memory_mb", "memory, MB"), ("descriptors",) * 2, ("threads",) * 2, ("tasks",) * 2):
            way = [getattr(one, what) for one in self.figures]
            row = [
                f"{value:.1f}" if what == "memory_mb" else str(value)
                for value in (getattr(before, what), max(way), getattr(after, what))
            ]
            table.add_row(words, *row, plot(way))
        console = Console(width=120)
        console.print(table)
        console.print(f"{self.made} servers came and went, {self.counted} clients were counted")


def plot(values: list[float], width: int = 60) -> str:
    step = max(1, -(-len(values) // width))
    shown = [max(values[at : at + step]) for at in range(0, len(values), step)]
    lowest, highest = min(shown), max(shown)
    return "".join(BARS[round((one - lowest) / ((highest - lowest) or 1) * 7)] for one in shown)


def soak(seconds: float) -> list[str]:
    program = Program(
        *("--state", ":memory:", "--quiet", "--journal-entries", "200", "--journal-exceptions", "100"),
        command=(sys.executable, "-c", WITH_SMALL_BOUNDS),
    )
    try:
        wrong = asyncio.run(Soak(program).run(seconds))
    finally:
        output = program.end()
    if "Traceback" in output:
        wrong.append(f"an incident that nothing explains:\n{output}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    wrong = soak(parser.parse_args().minutes * 60)
    sys.exit("\n".join(wrong) or 0)
