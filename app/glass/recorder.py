"""Recordings made: a viewer of a server's calls that keeps them, for a while."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import Any

from app.errors import RecordersBusy
from app.glass.calls import beginning, state
from app.glass.shelf import Shelf
from app.lens.lenses import Lenses
from app.lens.viewer import Beat, Viewer
from app.recordings.recording import Recording, State, pack

MOST_CALLS = 100_000
MOST_SECONDS = 30.0
AT_ONCE = 4
"""Recordings that may be made at the same time: each may hold as many calls as there is room for."""


class Recorder:
    def __init__(self, lenses: Lenses, shelf: Shelf) -> None:
        self._lenses = lenses
        self._shelf = shelf
        self._making = 0

    async def record(self, name: str, seconds: float) -> Recording:
        """Return when the time is over, or the server has ended.

        Raises:
            Unknown, NotRunning: there is nothing to record.
            RecordersBusy: too many are being made.
            NotKept: it was made, and cannot be written down.
        """
        if self._making >= AT_ONCE:
            raise RecordersBusy(
                f"{self._making} recordings are being made, which is the limit; wait for one.",
                limit=AT_ONCE,
                headers={"Retry-After": "2"},
            )
        viewer = self._lenses.look(name)
        self._making += 1
        try:
            taken = await _take(viewer, seconds)
        finally:
            self._making -= 1
            viewer.leave()
        number, id = self._shelf.next_id()
        head = {"id": id, **taken.head}
        source = viewer.server.variant.source
        recording = await asyncio.to_thread(pack, number, head, list(taken.calls.values()), taken.states, source)
        await self._shelf.keep(recording)
        return recording


class _Taken:
    def __init__(self, viewer: Viewer) -> None:
        self.head: dict[str, Any] = beginning(viewer)
        self.states: list[str] = [json.dumps({"at": 0.0, **self.head.pop("state")})]
        self.calls: dict[int, str] = {}

    @property
    def full(self) -> bool:
        return len(self.calls) >= MOST_CALLS

    def add(self, viewer: Viewer, beat: Beat) -> None:
        for one in beat.calls:
            number = viewer.number(one)
            if number <= MOST_CALLS:
                self.calls[number] = viewer.json(one, number)
            if came := viewer.let_in(one):
                id, address = came
                self.head["connections"][id] = address
        at = max(0.0, beat.at - viewer.began)
        self.states.append(json.dumps({"at": round(at, 6), **state(beat.buffers)}))
        self.head["folding"], self.head["dropped"] = beat.folding, beat.dropped


async def _take(viewer: Viewer, seconds: float) -> _Taken:
    taken = _Taken(viewer)
    ends: State = "done"
    timer = asyncio.get_running_loop().call_later(seconds, viewer.stop)
    try:
        async with aclosing(viewer.beats()) as beats:
            async for beat in beats:
                began = time.thread_time()
                taken.add(viewer, beat)
                viewer.spent(time.thread_time() - began)
                if taken.full:
                    ends = "full"
                    break
    finally:
        timer.cancel()
    if viewer.end not in (None, "left"):
        ends = "stopped"
    taken.head["seconds"] = round(min(time.monotonic() - viewer.began, seconds), 6)
    taken.head |= {"state": ends, "count": len(taken.calls), "comparison": None, "clients": None, "zero": 0.0}
    return taken
