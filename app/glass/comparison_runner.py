"""Comparisons: one client script, played to several variants at once, a recording of each.

Each variant runs in a server host of its own, so that no server's trace has the waits of another's loop. The machine's
monotonic clock is the one time axis of them all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from app.errors import NotPlayed, RecordersBusy
from app.glass.players import Player, play
from app.glass.shelf import Shelf
from app.hosting.server_host import HostedServer, HostFailed
from app.hosting.subprocess_host import SubprocessHost, subprocess_host
from app.recordings.recording import Recording
from app.recordings.script import Script

AT_ONCE = 3
"""Comparisons that may wait for their turn, the one that is played included."""

LEAD = 0.05
"""Seconds from the last trace's beginning to the script's zero."""

TRAIL = 0.2
"""Seconds from the last client's end to the traces' end: what servers do when a client leaves belongs to it."""


class ComparisonRunner:
    """One comparison at a time; ``loop`` is the kind that runs here."""

    def __init__(self, shelf: Shelf, loop: str) -> None:
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
                    made = await self._run(script, variants)
                except HostFailed as reason:
                    raise NotPlayed(str(reason)) from reason
                await self._shelf.keep(*made)
                return made
        finally:
            self._waiting -= 1

    async def _run(self, script: Script, variants: Sequence[str]) -> list[Recording]:
        async with AsyncExitStack() as stack:
            hosts = await _started(stack, [self._loop] * len(variants))
            servers = await asyncio.gather(*map(_traced, hosts, variants))
            zero = time.monotonic() + LEAD
            played = await asyncio.gather(*(play(script, (one.host, one.port), zero) for one in servers))
            ended = time.monotonic()
            await asyncio.sleep(TRAIL)
            traces = await asyncio.gather(
                *(host.end_trace(server.name) for host, server in zip(hosts, servers, strict=True))
            )
        numbers = [self._shelf.next_id() for _ in traces]
        comparison = {
            "id": numbers[0][1],
            "script": script.text,
            "title": script.title,
            "recordings": [id for _, id in numbers],
            "variants": list(variants),
        }
        made = []
        for (number, id), (head, body), players in zip(numbers, traces, played, strict=True):
            clients = _clients(head, zero, ended, players)
            made.append(Recording(number, {"id": id, **head, **clients, "comparison": comparison}, body))
        return made


async def _started(stack: AsyncExitStack, loops: Sequence[str]) -> list[SubprocessHost]:
    """A host each, all at once, which end with the stack."""
    starting = [stack.enter_async_context(subprocess_host(loop)) for loop in loops]
    hosts = []
    for one in await asyncio.gather(*starting, return_exceptions=True):  # all, so that none is left behind
        if isinstance(one, BaseException):
            raise one
        hosts.append(one)
    return hosts


async def _traced(host: SubprocessHost, variant: str) -> HostedServer:
    server = await host.start({"variant": variant, "port": 0, "restart": "never", "name": variant})
    await host.begin_trace(server.name)
    return server


def _clients(head: dict[str, Any], zero: float, ended: float, players: Sequence[Player]) -> dict[str, Any]:
    """What a recording's head has of the script; times in seconds since the trace began."""
    offset = round(zero - head["monotonic"], 6)
    ids = {peer: id for id, peer in head["connections"].items()}
    clients = [
        {
            "name": one.client.name,
            "at": one.client.at,
            "peer": one.peer,
            "connection": ids.get(one.peer or ""),
            "did": [{**step, "at": round(step["at"] + offset, 6)} for step in one.did],
        }
        for one in players
    ]
    return {"seconds": round(ended - head["monotonic"], 6), "clients": clients, "zero": offset}
