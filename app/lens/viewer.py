"""One who looks at a server's calls: what is yet to be taken, and the numbers that its stream gives to calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from app.lens.buffers import Buffers
from app.lens.lens import Folding
from app.lens.told import Told
from app.supervising.server import Server

MOST_PENDING = 6_000
"""Calls that wait for a viewer to take them, before it counts as too slow."""

Reason = Literal["stopped", "removed", "app ends", "too slow", "failed", "left"]


@dataclass(frozen=True)
class Beat:
    """What was called since the last one. ``at`` in seconds of the monotonic clock."""

    at: float
    calls: list[Told]
    buffers: Buffers
    folding: Folding
    dropped: int


class Look(Protocol):
    """What is looked through, as seen from here."""

    cost: float
    server: Server

    @property
    def dropped(self) -> int: ...

    @property
    def folding(self) -> Folding: ...

    @property
    def waits(self) -> bool: ...

    def inside(self) -> list[Told]: ...

    def buffers(self) -> Buffers: ...

    def connections(self) -> list[tuple[str, Any]]: ...

    def encoded(self, told: Told) -> tuple[str, str]: ...

    def let_in(self, told: Told) -> tuple[str, str] | None: ...

    def settle(self, viewer: Viewer) -> None: ...

    def ended(self) -> Reason | None: ...

    def leave(self, viewer: Viewer) -> None: ...


class Viewer:
    """One who looks; ``began`` in seconds of the monotonic clock. ``end`` says why it is over, once it is; ``held`` are
    calls that it gets with the next beat."""

    def __init__(self, look: Look) -> None:
        self.began = time.monotonic()
        self.end: Reason | None = None
        self.held: list[Told] = []
        self._look = look
        self._beats: deque[Beat] = deque()
        self._pending = 0
        self._news = asyncio.Event()
        self._count = 0
        self._open: dict[Told, int] = {}
        self._dropped_before = look.dropped
        self._first = Beat(self.began, look.inside(), look.buffers(), look.folding, 0)

    @property
    def first(self) -> Beat:
        """As it was when this one came: the calls that had not returned then."""
        return self._first

    @property
    def server(self) -> Server:
        return self._look.server

    @property
    def waits(self) -> bool:
        return self._look.waits

    def connections(self) -> list[tuple[str, Any]]:
        """Who is inside now: ids, and addresses."""
        return self._look.connections()

    async def beats(self) -> AsyncGenerator[Beat, None]:
        """Until it is over."""
        try:
            if self._first.calls:
                yield self._first
            while True:
                while self._beats and self.end != "too slow":
                    beat = self._beats.popleft()
                    self._pending -= len(beat.calls)
                    yield beat
                if self.end is not None:
                    return
                await self._news.wait()
                self._news.clear()
        finally:
            self.leave()

    def leave(self) -> None:
        self._look.leave(self)

    def stop(self) -> None:
        """Have enough: the beats end with what there is now."""
        if self.end is None:
            self._look.settle(self)
            self.finish(self._look.ended() or "left")

    def give(self, beat: Beat) -> None:
        calls, self.held = self.held + beat.calls, []
        self._pending += len(calls)
        if self._pending > MOST_PENDING:
            self.finish("too slow")
            self._beats.clear()
        else:
            dropped = beat.dropped - self._dropped_before
            self._beats.append(Beat(beat.at, calls, beat.buffers, beat.folding, dropped))
            self._news.set()

    def finish(self, reason: Reason) -> None:
        self.end = self.end or reason
        self._news.set()

    def number(self, told: Told) -> int:
        """Of a call in this stream; the same for one that has returned by now."""
        number = self._open.pop(told, 0)
        if not number:
            self._count += 1
            number = self._count
            if told.pending:  # it is told once more, even if it has returned by now
                self._open[told] = number
        return number

    def let_in(self, told: Told) -> tuple[str, str] | None:
        """Id and address of the client that a call has let in."""
        return self._look.let_in(told)

    def json(self, told: Told, number: int, with_bytes: bool = True) -> str:
        """One call as the contract has it. Of one that began before the stream, only what is in it counts: it ends when
        it ended, and the thread's next call follows it."""
        before, data = self._look.encoded(told)
        at = max(0.0, told.began - self.began)
        earlier = max(0.0, self.began - told.began) if told.times == 1 else 0.0
        took = "null" if told.took is None else f"{max(0.0, told.took - earlier):.6f}"
        shown = data if with_bytes else "null"
        line = "null" if told.line is None else str(told.line)
        last = f',"last":{max(0.0, told.last - self.began):.6f}' if told.times > 1 else ""
        return (
            f'{{"n":{number},"at":{at:.6f},"took":{took},{before},"bytes":{shown},"line":{line},'
            f'"times":{told.times}{last}}}'
        )

    def spent(self, seconds: float) -> None:
        """Processor time that telling this viewer has cost."""
        self._look.cost += seconds
