"""One connection's bytes, both ways, as they go through: shown while there is a watcher, and only then.

The connection shows its bytes on the thread that serves it (``servers.Tap``). They are held until the watcher takes
them, up to a bound; what comes beyond is dropped, and counted as lost.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from app.connections.client import Client
from app.connections.roster import Roster
from app.shapes.connections import ConnectionShape
from app.watching.event import Event

MOST_HELD = 1_048_576
"""Bytes that wait for the watcher; each piece counts for ``OVERHEAD`` more."""

OVERHEAD = 200
AT_ONCE = 64
"""Pieces that are made into events before the loop is let turn."""

PIECE = 32_768
"""Bytes in one event, before base64."""

Direction = Literal["in", "out"]

_Piece = tuple[float, Direction, bytes]


class Tap:
    """What one watcher has yet to take; filled from whatever thread serves the connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pieces: deque[_Piece] = deque()
        self._held = 0
        self._lost = {"in": 0, "out": 0}
        self._news = asyncio.Event()
        self._woken = False

    def received(self, data: Any) -> None:
        self._show("in", data)

    def sent(self, data: Any) -> None:
        self._show("out", data)

    def wake(self) -> None:
        """Have the watcher look; from any thread."""
        with self._lock:
            woken, self._woken = self._woken, True
        if not woken:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def news(self) -> None:
        """Wait until there is something to take."""
        await self._news.wait()
        self._news.clear()

    def take(self) -> tuple[list[_Piece], dict[str, int]]:
        """What there is, and how many bytes each way were lost since the last time."""
        with self._lock:
            self._woken = False
            taken, self._pieces, self._held = list(self._pieces), deque(), 0
            lost, self._lost = self._lost, {"in": 0, "out": 0}
        return taken, lost

    def _show(self, direction: Direction, data: Any) -> None:
        with memoryview(data) as view:
            size = view.nbytes
            if not size:
                return
            with self._lock:
                if self._held + size + OVERHEAD > MOST_HELD:
                    self._lost[direction] += size
                else:
                    self._held += size + OVERHEAD
                    self._pieces.append((time.time(), direction, bytes(view)))
        self.wake()


class _Taps:
    """Several watchers of one connection."""

    def __init__(self, taps: tuple[Tap, ...]) -> None:
        self.taps = taps

    def received(self, data: Any) -> None:
        for tap in self.taps:
            tap.received(data)

    def sent(self, data: Any) -> None:
        for tap in self.taps:
            tap.sent(data)


async def watch(client: Client, roster: Roster) -> AsyncGenerator[list[Event], None]:
    """``opened`` with the connection as it is; ``bytes`` with a time, a direction and base64; ``closed`` at its end."""
    opened = ConnectionShape.row(client, roster)
    tap = Tap()
    client.gone += (tap.wake,)
    _set(client, *_of(client), tap)
    try:
        if opened is not None:
            yield [Event("opened", opened)]
        here = True
        while here:
            here = roster.holds(client)
            if here:
                await tap.news()
            pieces, lost = tap.take()
            for start in range(0, len(pieces), AT_ONCE):
                yield [event for piece in pieces[start : start + AT_ONCE] for event in _events(*piece)]
                await asyncio.sleep(0)
            if missed := [
                Event("lost", json.dumps({"direction": way, "bytes": count})) for way, count in lost.items() if count
            ]:
                yield missed
        traffic = client.traffic
        yield [Event("closed", json.dumps({"bytes_in": traffic.bytes_in, "bytes_out": traffic.bytes_out}))]
    finally:
        client.gone = tuple(call for call in client.gone if call != tap.wake)
        _set(client, *(one for one in _of(client) if one is not tap))


def _of(client: Client) -> tuple[Tap, ...]:
    taps = client.connection.tap
    return taps.taps if isinstance(taps, _Taps) else ()


def _set(client: Client, *taps: Tap) -> None:
    client.connection.show_to(_Taps(taps) if taps else None)


def _events(at: float, direction: Direction, data: bytes) -> Iterator[Event]:
    when = datetime.fromtimestamp(at, UTC).isoformat()
    for start in range(0, len(data), PIECE):
        piece = b64encode(data[start : start + PIECE]).decode()
        yield Event("bytes", json.dumps({"at": when, "direction": direction, "data": piece}))
