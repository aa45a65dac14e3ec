"""Comparisons: one client script, played to several variants at once, a recording of each.

Each variant runs in a server host of its own, so that no server's trace has the waits of another's loop. The machine's
monotonic clock is the one time axis of them all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

from app.errors import InternalError, NotPlayed, RecordersBusy, Refusal
from app.glass.players import Player, play
from app.glass.shelf import Shelf
from app.hosting.server_host import HostedServer, HostFailed
from app.hosting.subprocess_host import SubprocessHost, subprocess_host
from app.recordings.recording import Recording
from app.recordings.script import Script

log = logging.getLogger("echodeck.glass")

AT_ONCE = 3
"""Comparisons that may wait for their turn, the one that is played included."""

LEAD = 0.05
"""Seconds from the last trace's beginning to the script's zero."""

TRAIL = 0.2
"""Seconds from the last client's end to the traces' end: what servers do when a client leaves belongs to it."""


MOST_FAILED = 8
"""Comparisons that failed, of which the reason can still be read."""

Stage = Literal["queued", "preparing", "prepared", "playing", "done"]
"""Of a variant in a comparison: not yet its turn; its server is started; it waits for the other variants' servers; the
clients do what the script says; they have done it."""


class PendingComparison:
    """A comparison that has no recordings yet: ``stages`` are by variant, ``failure`` is why it never will."""

    def __init__(self, numbers: Sequence[tuple[int, str]], script: Script, variants: Sequence[str]) -> None:
        self.numbers = numbers
        self.script = script
        self.stages: dict[str, Stage] = dict.fromkeys(variants, "queued")
        self.zero: float | None = None
        self.failure: Refusal | None = None

    @property
    def id(self) -> str:
        return self.numbers[0][1]

    @property
    def seconds_played(self) -> float:
        """Of the script's."""
        passed = 0.0 if self.zero is None else time.monotonic() - self.zero
        return max(0.0, min(passed, self.script.seconds))


class ComparisonRunner:
    """One comparison at a time; ``loop`` is the kind that runs here."""

    def __init__(self, shelf: Shelf, loop: str) -> None:
        self._shelf = shelf
        self._loop = loop
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[list[Recording]]] = {}
        self._pending: dict[str, PendingComparison] = {}

    def pending(self, id: str) -> PendingComparison | None:
        """Also one that failed lately."""
        return self._pending.get(id)

    def begin(self, script: Script, variants: Sequence[str]) -> PendingComparison:
        """Make a comparison in a task of its own.

        Raises:
        RecordersBusy: too many wait for their turn.
        """
        if len(self._tasks) >= AT_ONCE:
            raise RecordersBusy(
                f"{len(self._tasks)} comparisons are being made or wait for their turn; wait for one.",
                limit=AT_ONCE,
                headers={"Retry-After": "10"},
            )
        pending = PendingComparison([self._shelf.next_id() for _ in variants], script, variants)
        task = asyncio.create_task(self._make(pending), name=f"comparison {pending.id}")
        self._pending[pending.id], self._tasks[pending.id] = pending, task
        task.add_done_callback(lambda _: self._end(pending))
        return pending

    async def compare(self, script: Script, variants: Sequence[str]) -> list[Recording]:
        """Raises:
        RecordersBusy: too many wait for their turn.
        NotPlayed: it could not be played to one of them.
        NotKept: they are there, and will not be after a restart.
        """
        return await self._tasks[self.begin(script, variants).id]

    async def close(self) -> None:
        """Cancel those that are being made."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, pending: PendingComparison) -> None:
        task = self._tasks.pop(pending.id)
        reason = None if task.cancelled() else task.exception()
        if reason is None:
            del self._pending[pending.id]
            return
        if isinstance(reason, Refusal):
            pending.failure = reason
        else:
            log.error("the comparison %s failed", pending.id, exc_info=reason)
            pending.failure = InternalError("The comparison failed by a bug in the app; its log has the traceback.")
        failed = [id for id, one in self._pending.items() if one.failure]
        for id in failed[:-MOST_FAILED]:
            del self._pending[id]

    async def _make(self, pending: PendingComparison) -> list[Recording]:
        async with self._turn:
            try:
                made = await self._run(pending)
            except HostFailed as reason:
                raise NotPlayed(str(reason)) from reason
            await self._shelf.keep(*made)
            return made

    async def _run(self, pending: PendingComparison) -> list[Recording]:
        script, stages = pending.script, pending.stages
        variants = list(stages)
        stages.update(dict.fromkeys(variants, "preparing"))

        async def traced(host: SubprocessHost, variant: str) -> HostedServer:
            server = await host.start({"variant": variant, "port": 0, "restart": "never", "name": variant})
            await host.begin_trace(server.name)
            stages[variant] = "prepared"
            return server

        async def played(variant: str, server: HostedServer) -> list[Player]:
            players = await play(script, (server.host, server.port), zero)
            stages[variant] = "done"
            return players

        async with AsyncExitStack() as stack:
            hosts = await _started(stack, [self._loop] * len(variants))
            servers = await asyncio.gather(*map(traced, hosts, variants))
            pending.zero = zero = time.monotonic() + LEAD
            stages.update(dict.fromkeys(variants, "playing"))
            played_by = await asyncio.gather(*map(played, variants, servers))
            ended = time.monotonic()
            await asyncio.sleep(TRAIL)
            traces = await asyncio.gather(
                *(host.end_trace(server.name) for host, server in zip(hosts, servers, strict=True))
            )
        comparison = {
            "id": pending.id,
            "script": script.text,
            "title": script.title,
            "recordings": [id for _, id in pending.numbers],
            "variants": variants,
        }
        made = []
        for (number, id), (head, body), players in zip(pending.numbers, traces, played_by, strict=True):
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
