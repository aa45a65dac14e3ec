"""The recordings that are kept: the newest fifty, in the state file."""

from __future__ import annotations

import logging

from app.errors import Unknown
from app.history.schema import Packed, Statement, drop_recording, put_recording
from app.history.store import Store
from app.recordings.recording import NoRecording, Recording, unpack
from app.supervising.supervisor import Supervisor

log = logging.getLogger("echodeck.glass")

MOST_KEPT = 50
MOST_BYTES = 32_000_000
"""Of all of them, packed."""


class Shelf:
    def __init__(self, supervisor: Supervisor, store: Store) -> None:
        self._supervisor = supervisor
        self._store = store
        self._kept: dict[str, Recording] = {}
        self._last = 0

    def remember(self) -> None:
        """Begin with what was kept of earlier lives."""
        self._store.owners.append(self._statements)
        kept, self._store.recordings = self._store.recordings, []
        for one in kept:
            self._last = max(self._last, one.number)
            try:
                recording = unpack(one.number, one.packed)
            except NoRecording as reason:
                log.error("the recording %d cannot be read and is forgotten: %s", one.number, reason)
                self._store.put(drop_recording(one.number))
            else:
                self._kept[recording.id] = recording

    def all(self) -> list[Recording]:
        """The newest first."""
        return sorted(self._kept.values(), key=lambda one: -one.number)

    def one(self, id: str) -> Recording:
        """Raises:
        Unknown: there is none.
        """
        if id not in self._kept:
            raise Unknown(f"There is no recording {id!r}; it may have been forgotten.", what="recording")
        return self._kept[id]

    def compared(self, id: str) -> list[Recording]:
        """Those of one comparison.

        Raises:
            Unknown: there is none.
        """
        found = [one for one in reversed(self.all()) if (one.head.get("comparison") or {}).get("id") == id]
        if not found:
            raise Unknown(f"There is no comparison {id!r}; it may have been forgotten.", what="comparison")
        return found

    def next_id(self) -> tuple[int, str]:
        self._last += 1
        return self._last, self._supervisor.chronicle.id(self._last)

    async def keep(self, *recordings: Recording) -> None:
        """Raises:
        NotKept: they are there, and will not be after a restart.
        """
        for recording in recordings:
            self._kept[recording.id] = recording
            self._store.put(put_recording(Packed(recording.number, recording.packed)))
        self._trim()
        await self._store.flush()

    async def forget(self, id: str) -> None:
        """Raises:
        Unknown: there is none.
        """
        self._drop(self.one(id))
        await self._store.flush()

    def _trim(self) -> None:
        room = MOST_BYTES
        for place, one in enumerate(self.all()):
            room -= len(one.body)
            if place >= MOST_KEPT or (room < 0 and place > 0):
                self._drop(one)

    def _drop(self, recording: Recording) -> None:
        del self._kept[recording.id]
        self._store.put(drop_recording(recording.number))

    def _statements(self) -> list[Statement]:
        return [put_recording(Packed(one.number, one.packed)) for one in list(self._kept.values())]
