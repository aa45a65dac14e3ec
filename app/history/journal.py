"""What happened to the servers, latest last: a bounded list that a reader may page through."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """``what`` is a short sentence without the server's name; ``id`` grows by one with each entry."""

    id: int
    at: datetime
    server: str
    what: str


class Journal:
    """Keeps the latest ``most`` entries; ``dropped`` counts those that had to go."""

    def __init__(self, most: int = 1000, restored: Iterable[Entry] = (), last_id: int = 0) -> None:
        self.dropped = 0
        self.last_id = last_id
        self._entries: deque[Entry] = deque(restored, maxlen=most)

    def note(self, at: datetime, server: str, what: str) -> Entry:
        self.last_id += 1
        entry = Entry(self.last_id, at, server, what)
        self.dropped += len(self._entries) == self._entries.maxlen
        self._entries.append(entry)
        return entry

    def expire(self, before: datetime) -> None:
        """Forget what happened before that."""
        while self._entries and self._entries[0].at < before:
            self._entries.popleft()
            self.dropped += 1

    def since(self, id: int) -> list[Entry]:
        """What came after the entry of this id, the oldest first."""
        return list(itertools.takewhile(lambda entry: entry.id > id, reversed(self._entries)))[::-1]

    def latest(self, before: int | None = None, server: str | None = None) -> list[Entry]:
        """The newest first; only those with a lower id than ``before``."""
        return [
            entry
            for entry in reversed(self._entries)
            if (before is None or entry.id < before) and (server is None or entry.server == server)
        ]
