"""A lens put on a run and taken off again: its sockets and selectors, and the selector of the loop, wear a class that
tells.

A selector is found because it was made in the run's context (``loop.ownership``). What a thread is in at that moment
is read off its stack: it told nobody when it went in.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any

from app.connections.roster import Roster
from app.lens.lens import BLOCKS, Lens
from app.lens.told import Told, encoded, let_in
from app.loop.stacks import frames
from app.supervising.run import Run
from servers import Connection, Listener, look_at

_SELECT = {
    getattr(selectors, kind).select.__code__
    for kind in ("SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector")
    if hasattr(selectors, kind)
}
_ARGUMENTS = {"recv": "bufsize", "recv_into": "nbytes", "send": "data", "sendall": "data", "select": "timeout"}


class _AnyOf:
    def __init__(self, files: list[dict[int, Any]]) -> None:
        self._files = files

    def __contains__(self, number: object) -> bool:
        return any(number in one for one in self._files)


class LoopView:
    """What the loop's own selector tells: its waits to every lens, its registrations to that of the server whose
    descriptor it is."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self.sights: tuple[Sight, ...] = ()

    def show(self, *sights: Sight) -> None:
        """To these; to nobody any more without one."""
        self.sights = sights
        files = [sight.lens.files for sight in sights]
        look_at(self.selector, self if sights else None, only=files[0] if len(files) == 1 else _AnyOf(files))

    def enters(self, call: str, on: Any, argument: Any) -> float:
        return monotonic()

    def returns(self, call: str, on: Any, argument: Any, began: float, result: Any, data: Any = None) -> None:
        for sight in self.sights:
            if call == "select":
                sight.lens.waited(on, argument, began, result)
            elif call != "close" and sight.lens.has(argument[0]):
                sight.lens.returns(call, on, argument, began, result)

    def fails(self, call: str, on: Any, argument: Any, began: float, error: OSError) -> None:
        for sight in self.sights:
            if call == "select":
                sight.lens.fails("wait", on, argument, began, error)
            elif call != "close" and sight.lens.has(argument[0]):
                sight.lens.fails(call, on, argument, began, error)


_views: dict[asyncio.AbstractEventLoop, LoopView] = {}


class Sight:
    """One lens on one run. ``waits``: whether those of the loop are told: not of one that does not run on it, and not
    those of uvloop, which cannot be seen."""

    def __init__(self, run: Run, roster: Roster) -> None:
        self.run = run
        self.lens = Lens(str(run.variant.path), asyncio.get_running_loop())
        self._prefix = roster.id(0)[:-1]
        self._loop = asyncio.get_running_loop()
        self._selector: Any = getattr(self._loop, "_selector", None)
        self.waits = run.variant.runs_on == "loop" and isinstance(self._selector, selectors.BaseSelector)

    def open(self) -> None:
        self.lens.files[self.run.listener.fileno()] = self.run.listener
        self.run.listener.lens = self.lens
        for client in self.run.clients.all():
            self.lens.files[client.connection.fileno()] = client.connection
            client.connection.look_through(self.lens)
        self.see_new()
        if self.waits:
            view = _views.get(self._loop)
            if view is None:
                view = _views[self._loop] = LoopView(self._selector)
            view.show(*view.sights, self)
        now = frames()
        for thread in self.run.threads:
            if frame := now.get(thread.ident or 0):
                self._look_inside(thread, frame)

    def close(self) -> None:
        self.lens.closed = True
        self.run.listener.lens = None
        for client in self.run.clients.all():
            client.connection.look_through(None)  # those accepted meanwhile tell a lens that is closed
        for selector in list(self.run.selectors):
            look_at(selector, None)
        view = _views.get(self._loop)
        if self.waits and view is not None:
            view.show(*(one for one in view.sights if one is not self))
            if not view.sights:
                del _views[self._loop]

    def see_new(self) -> None:
        """Selectors made since."""
        for selector in list(self.run.selectors):
            if "lens" not in selector.__dict__:
                with suppress(OSError, ValueError, AttributeError):  # closed, or of a kind without a descriptor
                    self.lens.files[selector.fileno()] = selector  # type: ignore[attr-defined]
                look_at(selector, self.lens)

    def let_in(self, told: Told) -> tuple[str, str] | None:
        return let_in(told, self._prefix)

    def encoded(self, told: Told) -> tuple[str, str]:
        return encoded(told, self._prefix, self._selector)

    def _look_inside(self, thread: threading.Thread, frame: FrameType) -> None:
        found: tuple[str, Any, Any] | None = None
        path = str(self.run.variant.path)
        inner: FrameType | None = frame
        while inner is not None:
            if found is None:
                found = _call_in(inner)
            if found is not None and inner.f_code.co_filename == path:
                self.lens.found_inside(thread.ident or 0, *found, inner.f_lineno, thread.name)
                return
            inner = inner.f_back


def _call_in(frame: FrameType) -> tuple[str, Any, Any] | None:
    name, this = frame.f_code.co_name, frame.f_locals.get("self")
    if name in BLOCKS and (isinstance(this, Connection | Listener) or frame.f_code in _SELECT):
        argument = frame.f_locals.get(_ARGUMENTS.get(name, ""))
        return name, this, len(argument) if isinstance(argument, bytes | bytearray) else argument
    return None
