"""Recordings made: a viewer of a server's calls that keeps them, for a while."""

from __future__ import annotations

import asyncio

from app.errors import RecordersBusy
from app.glass.shelf import Shelf
from app.lens.call_records import CallRecords
from app.lens.lenses import Lenses
from app.recordings.recording import Recording, pack

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
        records = CallRecords(viewer)
        timer = asyncio.get_running_loop().call_later(seconds, viewer.stop)
        self._making += 1
        try:
            await records.collect()
        finally:
            self._making -= 1
            timer.cancel()
        number, id = self._shelf.next_id()
        head = {"id": id, **records.head, "seconds": min(records.head["seconds"], seconds)}
        source = viewer.server.variant.source
        recording = await asyncio.to_thread(pack, number, head, records.calls, records.states, source)
        await self._shelf.keep(recording)
        return recording
