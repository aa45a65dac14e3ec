"""One event of a stream: Server-Sent Events (html.spec.whatwg.org, "Server-sent events"), or a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Event:
    """One of a stream; ``data`` is JSON."""

    name: str
    data: str
    id: str | None = None

    @cached_property
    def encoded(self) -> bytes:
        """As Server-Sent Events have it; ``data`` must be on one line, as JSON is."""
        id = f"id: {self.id}\n" if self.id is not None else ""
        return f"{id}event: {self.name}\ndata: {self.data}\n\n".encode()

    @cached_property
    def message(self) -> str:
        """As a WebSocket has it: JSON with ``event``, ``data``, and ``id`` where there is one."""
        id = f'"id":"{self.id}",' if self.id is not None else ""
        return f'{{"event":"{self.name}",{id}"data":{self.data}}}'
