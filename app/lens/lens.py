"""What is told of one server's calls, folded where there are many: filled on whatever thread makes them, taken on the
loop.

While calls are few each is kept, and only equal ones in a row are folded. Where there are more than fit in a beat,
those that found nothing, and those for which there is no room, are counted where they happen, by call, socket and
outcome, second by second: the counts are exact, and the cost of a call is that of one look into a table.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from time import monotonic
from typing import Any, Literal

from app.lens.told import MOST_BYTES, Told
from servers import Connection

log = logging.getLogger("echodeck.lens")

Folding = Literal["runs", "second"]

IN_A_BEAT = 1_500
"""Calls of one beat that are kept each by itself."""

KEYS = 2_000
"""Kinds of calls that are counted in a second; calls of further ones are dropped, and counted as such."""

FEW = 3_000
"""Calls in a second at which they are told each by itself again."""

SECOND = 1.0
DEEP = 13
"""Frames from here to the variant's line, at most."""

BLOCKS = frozenset({"accept", "recv", "recv_into", "send", "sendall", "sendmsg", "select"})

NOTHING = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})
REGISTERS = frozenset({"register", "modify", "unregister"})


class Lens:
    """``servers.Lens`` of one server; ``path`` is its variant's file, and it is made on the thread of the ``loop``.

    In a ``hurry`` it folds more, and ``keys`` is how many kinds of calls it counts in a second. ``files`` are the
    server's sockets and selectors by their descriptors, also those that are closed, until another has the number.
    """

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.closed = False
        self.failed = False
        self.folding: Folding = "runs"
        self.dropped = 0
        self.hurry = False
        self.keys = KEYS
        self.files: dict[int, Any] = {}
        self._path = path
        self._loop = loop
        self._lock = threading.Lock()
        self._kept: list[Told] = []
        self._left = IN_A_BEAT
        self._counted: dict[Any, Told] = {}
        self._calls = 0
        self._second = monotonic()
        self._inside: dict[int, Told] = {}
        self._loop_thread = threading.get_ident()

    # On the thread that makes the call

    def enters(self, call: str, on: Any, argument: Any) -> float:
        began = monotonic()
        if self.closed:
            return began
        ident = threading.get_ident()
        if ident != self._loop_thread and call in BLOCKS:
            try:
                self._left_behind(ident, began)
                told = self._told(call, on, argument, began, None, ident, None, None, None)
                with self._lock:
                    self._inside[ident] = told
            except Exception:
                self._fail()
        return began

    def returns(self, call: str, on: Any, argument: Any, began: float, result: Any, data: Any = None) -> None:
        ended = monotonic()
        if not self.closed:
            try:
                if call == "accept":
                    self.files[result.fileno()] = result
                elif call in REGISTERS:
                    argument = (self.files.get(_number(argument[0]), argument[0]), argument[1])
                self._note(call, on, argument, began, ended, result, None, data)
            except Exception:
                self._fail()

    def waited(self, on: Any, timeout: float | None, began: float, ready: int) -> None:
        """The loop has: the commonest of all calls, also while none of this server's is made."""
        if self._kept and (latest := self._kept[-1]).call == "wait" and latest.result == ready and not self.closed:
            with self._lock:
                if self._kept and self._kept[-1] is latest:
                    self._calls += 1
                    latest.times += 1
                    latest.took = (latest.took or 0.0) + monotonic() - began
                    latest.last = began
                    return
        self.returns("wait", on, timeout, began, ready)

    def fails(self, call: str, on: Any, argument: Any, began: float, error: OSError) -> None:
        ended = monotonic()
        if not self.closed:
            try:
                self._note(call, on, argument, began, ended, None, error.errno, None)
            except Exception:
                self._fail()

    def _note(
        self, call: str, on: Any, argument: Any, began: float, ended: float, result: Any, error: int | None, data: Any
    ) -> None:
        ident = threading.get_ident()
        if ident != self._loop_thread:
            with self._lock:
                inside = self._inside.pop(ident, None)
                if inside is not None:
                    inside.took, inside.result, inside.errno = ended - inside.began, result, error
                    inside.data = _first(data)
                    self._calls += 1
                    # One that was told as not returned has to be told again.
                    if inside.pending or self._has_room(call, result, error):
                        self._left -= 1
                        self._kept.append(inside)
                    else:
                        self._count(call, on, inside.began, ended, result, error, lambda: inside)
                    return
        began = began or ended
        with self._lock:
            self._calls += 1
            if self._has_room(call, result, error):
                self._left -= 1
                self._kept.append(
                    self._told(call, on, argument, began, ended - began, ident, result, error, _first(data))
                )
                return
            self._count(
                call, on, began, ended, result, error,
                lambda: self._told(call, on, argument, began, ended - began, ident, result, error, _first(data)),
            )  # fmt: skip

    def _has_room(self, call: str, result: Any, error: int | None) -> bool:
        """Once there are too many, those that found nothing are counted, so that the others do not drown in them."""
        return self._left > 0 and (
            self.folding == "runs" or not (error in NOTHING or call == "wait" or (call == "select" and not result))
        )

    def _count(
        self, call: str, on: Any, began: float, ended: float, result: Any, error: int | None, told: Callable[[], Told]
    ) -> None:
        """One more of its kind; the first one is ``told``."""
        key = (call, on, None if isinstance(result, Connection) else result, error)
        counted = self._counted.get(key)
        if counted is not None:
            counted.times += 1
            counted.took = (counted.took or 0.0) + ended - began
            counted.last = began
        elif len(self._counted) < self.keys:
            self._counted[key] = told()
        else:
            self.dropped += 1

    def _told(
        self, call: str, on: Any, argument: Any, began: float, took: float | None, ident: int, result: Any,
        error: int | None, data: bytes | None,
    ) -> Told:  # fmt: skip
        on_loop = ident == self._loop_thread
        task = asyncio.current_task(self._loop) if on_loop and self._loop is not None else None
        line = None if call == "wait" else self._line()
        if line is None:
            task = None  # it is the loop that calls, on behalf of whoever waits
        name = threading.current_thread().name  # by its ident it may be that of one that has ended
        return Told(call, on, argument, began, took, name, task, result, error, data, line, 1, began)

    def _line(self) -> int | None:
        frame = sys._getframe(2)
        for _ in range(DEEP):
            if frame.f_code.co_filename == self._path:
                return frame.f_lineno
            if frame.f_back is None:
                return None
            frame = frame.f_back
        return None

    def _left_behind(self, ident: int, now: float) -> None:
        """What this thread was in when the lens came has returned, unseen."""
        with self._lock:
            unseen = self._inside.pop(ident, None)
            if unseen is not None:
                unseen.took = now - unseen.began
                self._kept.append(unseen)

    def _fail(self) -> None:
        self.closed = self.failed = True
        Context().run(log.exception, "a lens has failed; the server goes on unseen")

    # On the loop

    def found_inside(self, ident: int, call: str, on: Any, argument: Any, line: int | None, name: str) -> None:
        """A thread is in a call that it made before the lens came."""
        now = monotonic()
        self._inside.setdefault(ident, Told(call, on, argument, now, None, name, None, None, None, None, line, 1, now))

    def has(self, file: Any) -> bool:
        """Whether this descriptor is the server's, now."""
        number = _number(file)
        found = self.files.get(number)
        return found is not None and found.fileno() == number

    def inside(self) -> list[Told]:
        """Calls that have not returned; they are told again when they have."""
        with self._lock:
            found = list(self._inside.values())
            for one in found:
                one.pending = True
        return found

    def take(self, room: int = IN_A_BEAT, all_of_it: bool = False) -> list[Told]:
        """What is to be told now; ``room`` is for the next beat. What is counted waits for the second to be over,
        unless it is to be all of it."""
        now = monotonic()
        whole = now - self._second >= SECOND
        with self._lock:
            kept, self._kept = self._kept, []
            spilled = bool(self._counted)
            counted: Iterable[Told] = ()
            if self._counted and (whole or all_of_it or self.folding == "runs"):
                counted, self._counted = self._counted.values(), {}
            calls = self._calls
            if whole:
                self._calls, self._second = 0, now
            if (spilled or self.hurry) and self.folding == "runs":
                self.folding = "second"
            elif whole and calls < FEW and not self.hurry:
                self.folding = "runs"
            self._left = room if self.folding == "runs" else room // 5
            pending = [one for one in self._inside.values() if not one.pending]
            for one in pending:
                one.pending = True
        told = list(_folded(kept))
        told.extend(counted)
        return told + pending


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def _first(data: Any) -> bytes | None:
    if data is None:
        return None
    return data[:MOST_BYTES] if type(data) is bytes else bytes(memoryview(data).cast("B")[:MOST_BYTES])


def _folded(kept: list[Told]) -> Iterator[Told]:
    latest: Told | None = None
    for one in kept:
        if latest is not None and latest.equals(one):
            latest.times += 1
            latest.took = (latest.took or 0.0) + (one.took or 0.0)
            latest.last = one.began
            continue
        if latest is not None:
            yield latest
        latest = one
    if latest is not None:
        yield latest
