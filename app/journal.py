"""What happened to the servers, latest last: a bounded list that a reader may page through."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Entry:
    """``what`` is a short sentence without the server's name."""

    at: datetime
    server: str
    what: str


class Journal:
    """Keeps the latest ``most`` entries."""

    def __init__(self, most: int = 1000) -> None:
        self._entries: deque[Entry] = deque(maxlen=most)

    def note(self, at: datetime, server: str, what: str) -> None:
        self._entries.append(Entry(at, server, what))

    def latest(self) -> Iterator[Entry]:
        """The newest first."""
        return reversed(self._entries)
