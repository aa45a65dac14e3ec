"""A server in an app of its own, seen through that app's lens while a script is played to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from app.glass.players import Player
from app.glass.recorder import MOST_CALLS
from app.lab.subject import Apart, NotMeasured

AS_BEGUN = ("server", "variant", "file", "runs_on", "at", "monotonic", "waits", "unseen")
"""What a recording has as the lens's ``begin`` said it."""

SECONDS_TO_BEGIN = 10.0


class Seen:
    """A server in an app of its own, and what its lens has told so far."""

    def __init__(self, variant: str, name: str, address: tuple[str, int]) -> None:
        self.variant = variant
        self.name = name
        self.address = address
        self.begun: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.states: list[str] = []
        self.task: asyncio.Task[None] | None = None
        self._calls: dict[int, str] = {}  # each as JSON
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
            async with (
                httpx.AsyncClient(base_url=house.url, timeout=SECONDS_TO_BEGIN, trust_env=False) as http,
                aconnect_sse(http, "GET", f"/servers/{self.name}/calls") as lens,
            ):
                lens.response.raise_for_status()
                async for one in lens.aiter_sse():
                    if one.data:  # else it is only the reconnection time
                        self._take(one.event, json.loads(one.data))
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
            **{key: begun[key] for key in AS_BEGUN},
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
        return list(self._calls.values())

    def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "begin":
            self._connections.update(data["connections"])
            self.states.append(json.dumps({"at": 0.0, **data["state"]}))
            self.begun.set_result(data)
        elif event == "calls":
            self._latest = {"folding": data["folding"], "dropped": data["dropped"]}
            self.states.append(json.dumps({"at": data["at"], **data["state"]}))
            for one in data["calls"]:
                if one["n"] <= MOST_CALLS:
                    self._calls[one["n"]] = json.dumps(one, separators=(",", ":"))
                if "peer" in one:
                    self._connections[one["result"]] = one["peer"]
        elif event == "end":
            self._reason = data["reason"]


@asynccontextmanager
async def seen_through(house: Apart, variant: str) -> AsyncIterator[Seen]:
    name, host, port = await house.start({"variant": variant, "port": 0, "restart": "never", "name": variant})
    one = Seen(variant, name, (host, port))
    one.task = asyncio.create_task(one.watch(house), name=f"script: lens on {variant}")
    try:
        try:
            await asyncio.wait_for(one.begun, SECONDS_TO_BEGIN)
        except TimeoutError:
            raise NotMeasured(f"the lens on {variant} does not answer") from None
        yield one
    finally:
        one.task.cancel()
        await asyncio.wait({one.task})
