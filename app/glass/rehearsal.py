"""Comparisons: one script of clients, played to several variants at once, a recording of each.

Each variant runs in an app of its own, as the lab's do, so that none is seen through the waits of another's loop; and
the machine's monotonic clock is the one time axis of them all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from app.errors import NotPlayed, RecordersBusy
from app.glass.players import play
from app.glass.seen import seen_through
from app.glass.shelf import Shelf
from app.lab.subject import Apart, NotMeasured, apart
from app.recordings.recording import Recording, pack
from app.recordings.script import Script
from app.supervising.supervisor import Supervisor

AT_ONCE = 3
"""Comparisons that may wait for their turn, the one that is played included."""

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
                await stack.enter_async_context(seen_through(house, variant))
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
