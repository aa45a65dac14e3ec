"""Comparisons: one script of clients, played to several variants at once, a recording of each.

Each variant runs in an app of its own, as the lab's do, so that none is seen through the waits of another's loop; and
the machine's monotonic clock is the one time axis of them all.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from app.errors import NotPlayed, RecordersBusy
from app.glass.players import Player, play
from app.glass.shelf import Shelf
from app.lab.subject import Apart, NotMeasured, apart
from app.recordings.recording import Recording, pack
from app.recordings.script import Script
from app.supervising.supervisor import Supervisor

AT_ONCE = 3
"""Comparisons that may wait for their turn, the one that is played included."""

SECONDS_TO_BEGIN = 10.0
LEAD = 0.15
"""Seconds from the last lens's beginning to the script's zero."""


class Stage:
    """One comparison at a time; ``loop`` is the kind that runs here."""

    def __init__(self, supervisor: Supervisor, shelf: Shelf, loop: str) -> None:
        self._supervisor = supervisor
        self._shelf = shelf
        self._loop = loop
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def compare(self, script: Script, variants: Sequence[str]) -> list[Recording]:
        """Raises:
        RecordersBusy: too many wait for their turn.
        NotPlayed: it could not be played to one of them.
        NotKept: they are there, and will not be after a restart.
        """
        if self._waiting >= AT_ONCE:
            raise RecordersBusy(
                f"{self._waiting} comparisons are being made or wait for their turn; wait for one.",
                limit=AT_ONCE,
                headers={"Retry-After": "10"},
            )
        self._waiting += 1
        try:
            async with self._turn:
                try:
                    made = await self._play(script, variants)
                except NotMeasured as reason:
                    raise NotPlayed(str(reason)) from reason
                await self._shelf.keep(*made)
                return made
        finally:
            self._waiting -= 1

    async def _play(self, script: Script, variants: Sequence[str]) -> list[Recording]:
        async with AsyncExitStack() as stack:
            starting = [stack.enter_async_context(apart(self._loop)) for _ in variants]
            started = await asyncio.gather(*starting, return_exceptions=True)  # all, so that none is left behind
            houses: list[Apart] = []
            for one in started:
                if isinstance(one, BaseException):
                    raise one
                houses.append(one)
            seen = [
                await stack.enter_async_context(_seen(house, variant))
                for house, variant in zip(houses, variants, strict=True)
            ]
            zero = time.monotonic() + LEAD
            played = await asyncio.gather(*(play(script, here.address, zero) for here in seen))
            await asyncio.gather(*(here.stop() for here in seen))
        numbers = [self._shelf.next_id() for _ in seen]
        comparison = {
            "id": numbers[0][1],
            "script": script.text,
            "title": script.title,
            "recordings": [id for _, id in numbers],
            "variants": list(variants),
        }
        made = []
        for (number, id), here, players in zip(numbers, seen, played, strict=True):
            head = {"id": id, **here.head(zero, players), "comparison": comparison}
            source = self._supervisor.variant(here.variant).source
            made.append(await asyncio.to_thread(pack, number, head, here.calls(), here.states, source))
        return made


class Seen:
    """A server in an app of its own, and what its lens has told so far."""

    def __init__(self, variant: str, name: str, address: tuple[str, int]) -> None:
        self.variant = variant
        self.name = name
        self.address = address
        self.begun: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.states: list[str] = []
        self.task: asyncio.Task[None] | None = None
        self._calls: dict[int, dict[str, Any]] = {}
        self._latest: dict[str, Any] = {}
        self._connections: dict[str, str] = {}
        self._ended = 0.0
        self._reason: str | None = None

    async def watch(self, house: Apart) -> None:
        """Follow the lens until it ends, or this is cancelled.

        Raises:
            NotMeasured: it does not answer.
        """
        try:
            timeout = httpx.Timeout(SECONDS_TO_BEGIN)
            async with (
                httpx.AsyncClient(base_url=house.url, timeout=timeout, trust_env=False) as http,
                http.stream("GET", f"/servers/{self.name}/calls") as answer,
            ):
                event = ""
                async for line in answer.aiter_lines():
                    if line.startswith("event: "):
                        event = line[7:]
                    elif line.startswith("data: "):
                        self._take(event, json.loads(line[6:]))
        except httpx.HTTPError as reason:
            error = NotMeasured(f"the lens on {self.variant} does not answer ({type(reason).__name__})")
            if not self.begun.done():
                self.begun.set_exception(error)

    async def stop(self) -> None:
        """What was counted in the current second is told at its end."""
        self._ended = time.monotonic()
        await asyncio.sleep(1.15 if self._latest.get("folding") == "second" else 0.25)
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})

    def head(self, zero: float, players: list[Player]) -> dict[str, Any]:
        begun = self.begun.result()
        offset = round(zero - begun["monotonic"], 6)
        ids = {peer: id for id, peer in self._connections.items()}
        clients = [
            {"name": one.client.name, "at": one.client.at, "peer": one.peer, "connection": ids.get(one.peer or ""),
             "did": [{**step, "at": round(step["at"] + offset, 6)} for step in one.did]}
            for one in players
        ]  # fmt: skip
        return {
            **{
                key: begun[key]
                for key in ("server", "variant", "file", "runs_on", "at", "monotonic", "waits", "unseen")
            },
            "connections": self._connections,
            "folding": self._latest.get("folding", "runs"),
            "dropped": self._latest.get("dropped", 0),
            "seconds": round(self._ended - begun["monotonic"], 6),
            "state": "stopped" if self._reason else "done",
            "count": len(self._calls),
            "clients": clients,
            "zero": offset,
        }

    def calls(self) -> list[str]:
        return [json.dumps(one, separators=(",", ":")) for one in self._calls.values()]

    def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "begin":
            self._connections.update(data["connections"])
            self.states.append(json.dumps({"at": 0.0, **data["state"]}))
            self.begun.set_result(data)
        elif event == "calls":
            self._latest = {"folding": data["folding"], "dropped": data["dropped"]}
            self.states.append(json.dumps({"at": data["at"], **data["state"]}))
            for one in data["calls"]:
                self._calls[one["n"]] = one
                if "peer" in one:
                    self._connections[one["result"]] = one["peer"]
        elif event == "end":
            self._reason = data["reason"]


@asynccontextmanager
async def _seen(house: Apart, variant: str) -> AsyncIterator[Seen]:
    name, host, port = await house.start({"variant": variant, "port": 0, "restart": "never", "name": variant})
    one = Seen(variant, name, (host, port))
    one.task = asyncio.create_task(one.watch(house), name=f"script: lens on {variant}")
    try:
        async with asyncio.timeout(SECONDS_TO_BEGIN):
            await one.begun
        yield one
    except TimeoutError:
        raise NotMeasured(f"the lens on {variant} does not answer") from None
    finally:
        one.task.cancel()
        await asyncio.wait({one.task})
