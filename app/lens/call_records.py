"""The calls of a server recorded for a while, with what the kernel held meanwhile: the contents of a recording."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from app.addresses import format_address
from app.lens.buffers import Buffers
from app.lens.viewer import Beat, Viewer
from app.recordings.recording import State

UNSEEN = "This loop (uvloop) waits in C: its waits, and the calls of its streams, are not seen."

MOST_CALLS = 100_000


def beginning(viewer: Viewer) -> dict[str, Any]:
    """``monotonic`` is when the stream's time was 0, by the machine's clock that never jumps."""
    server, first = viewer.server, viewer.first
    return {
        "server": server.name,
        "variant": server.variant.name,
        "file": server.variant.path.name,
        "runs_on": server.variant.runs_on,
        "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "monotonic": viewer.began,
        "folding": first.folding,
        "dropped": 0,
        "waits": viewer.waits,
        "unseen": UNSEEN if server.variant.runs_on == "loop" and not viewer.waits else None,
        "connections": {id: format_address(*address[:2]) for id, address in viewer.connections()},
        "state": state(first.buffers),
    }


def state(found: Buffers) -> dict[str, Any]:
    return {"queue": found.queue, "unread": found.unread, "unsent": found.unsent}


class CallRecords:
    """``head`` has the fields of a recording's head but for its id and its clients; ``states`` are JSON."""

    def __init__(self, viewer: Viewer) -> None:
        self.head: dict[str, Any] = beginning(viewer)
        self.states: list[str] = [json.dumps({"at": 0.0, **self.head.pop("state")})]
        self._viewer = viewer
        self._calls: dict[int, str] = {}  # each as JSON, by its number

    @property
    def calls(self) -> list[str]:
        """As JSON, in their order."""
        return list(self._calls.values())

    async def collect(self) -> None:
        """Return when the viewer has ended, or there are ``MOST_CALLS``."""
        viewer = self._viewer
        ends: State = "done"
        try:
            async with aclosing(viewer.beats()) as beats:
                async for beat in beats:
                    began = time.thread_time()
                    self._add(beat)
                    viewer.spent(time.thread_time() - began)
                    if len(self._calls) >= MOST_CALLS:
                        ends = "full"
                        break
        finally:
            viewer.leave()
        if viewer.end not in (None, "left"):
            ends = "stopped"
        self.head["seconds"] = round(time.monotonic() - viewer.began, 6)
        self.head |= {"state": ends, "count": len(self._calls), "comparison": None, "clients": None, "zero": 0.0}

    def _add(self, beat: Beat) -> None:
        viewer = self._viewer
        for one in beat.calls:
            number = viewer.number(one)
            if number <= MOST_CALLS:
                self._calls[number] = viewer.json(one, number)
            if came := viewer.let_in(one):
                id, address = came
                self.head["connections"][id] = address
        at = max(0.0, beat.at - viewer.began)
        self.states.append(json.dumps({"at": round(at, 6), **state(beat.buffers)}))
        self.head["folding"], self.head["dropped"] = beat.folding, beat.dropped
