"""Accepted sockets that report when they close, and are sockets in everything else.

Nothing is added to the path of a message. Only while somebody looks at its bytes (a tap) or at its calls (a lens) does
a connection change its class for one that shows them.
"""

from __future__ import annotations

import contextvars
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol

log = logging.getLogger("echodeck.witness")


class Watcher(Protocol):
    """Is called with what happens, on the thread that accepts or closes; each method must be quick and safe there.

    ``descriptor_bound`` is the first descriptor number that no client may keep.
    """

    descriptor_bound: int

    def admits(self, connection: Connection, address: Any) -> bool:
        """A client was accepted; False turns it away: it is closed, and the variant never sees it."""

    def closes(self, connection: Connection) -> None:
        """A connection is about to be closed or detached; its descriptor still answers, unless a library has closed it
        by its number. Called once a connection."""

    def turned_away(self, error: OSError) -> None:
        """A client was closed unseen, because the process or the system has no descriptor left."""


class Tap(Protocol):
    """Is called with the bytes, in an object that is good until the call returns.

    Called on the thread that serves the connection, after the bytes have gone through.
    """

    def received(self, data: Any) -> None: ...
    def sent(self, data: Any) -> None: ...


class Lens(Protocol):
    """Is told of calls on sockets and selectors, on the thread that makes them; it must not raise.

    ``on`` is the socket or selector, ``argument`` what the call was given: a number of bytes, a timeout in seconds, a
    file with its events, ``how`` of shutdown. ``began`` is what ``enters`` returned, or 0.0 if the lens came later.
    """

    def enters(self, call: str, on: Any, argument: Any) -> float:
        """The call is about to be made; returns the time."""

    def returns(self, call: str, on: Any, argument: Any, began: float, result: Any, data: Any = None) -> None:
        """``data`` is what went through, in an object that is good until this returns."""

    def fails(self, call: str, on: Any, argument: Any, began: float, error: OSError) -> None: ...


class Connection(socket.socket):
    """An accepted socket that says when it closes.

    ``client`` is whatever its watcher remembers of it, and stays after the close.
    """

    __slots__ = ("client", "lens", "tap", "watcher")
    watcher: Watcher | None
    client: Any
    tap: Tap | None
    lens: Lens | None

    def unwatched(self) -> None:
        """As it begins, whoever made it."""
        self.watcher = self.client = self.tap = self.lens = None

    def close(self) -> None:
        self._leave()
        super().close()

    def detach(self) -> int:
        """uvloop's transports end with it what they were given, once they have closed the descriptor themselves."""
        self._leave()
        return super().detach()

    def _leave(self) -> None:
        watcher, self.watcher = self.watcher, None
        if watcher is not None:
            safely(watcher.closes, self)

    def show_to(self, tap: Tap | None) -> None:
        """From the next call on, show what is received and sent; to nobody with None."""
        self.tap = tap
        self._dress()

    def look_through(self, lens: Lens | None) -> None:
        """From the next call on, tell the lens of each; nobody with None."""
        self.lens = lens
        self._dress()

    def _dress(self) -> None:
        if self.tap is not None or self.lens is not None:
            self.__class__ = ShownConnection
        elif self.gettimeout() == 0.0:
            self.__class__ = Connection


class ShownConnection(Connection):
    """One whose bytes are shown to its tap and whose calls to its lens, while it has them.

    A socket that does not block comes to wear this class when somebody looks. One that blocks wears it from the start,
    because a thread that waits in the kernel's ``recv`` would not notice the change, and the first bytes would be
    missed. A library that knows only the descriptor, as uvloop's transports do, calls none of this and shows nothing.
    """

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        began = 0.0 if (lens := self.lens) is None else lens.enters("recv", self, bufsize)
        try:
            data = super().recv(bufsize, flags)
        except OSError as error:
            if (lens := self.lens) is not None:
                lens.fails("recv", self, bufsize, began, error)
            raise
        if (lens := self.lens) is not None:
            lens.returns("recv", self, bufsize, began, len(data), data)
        if (tap := self.tap) is not None and not flags & socket.MSG_PEEK:
            self._show(tap.received, data)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        size, began = 0, 0.0
        if (lens := self.lens) is not None:
            size = nbytes or memoryview(buffer).nbytes
            began = lens.enters("recv_into", self, size)
        try:
            count = super().recv_into(buffer, nbytes, flags)
        except OSError as error:
            if (lens := self.lens) is not None:
                lens.fails("recv_into", self, size, began, error)
            raise
        if (lens := self.lens) is not None:
            lens.returns("recv_into", self, size, began, count, memoryview(buffer).cast("B")[:count])
        if (tap := self.tap) is not None and not flags & socket.MSG_PEEK:
            self._show(tap.received, memoryview(buffer).cast("B")[:count])
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        tap = self.tap  # asked for before: what is on its way when the tap comes was sent without it
        size, began = 0, 0.0
        if (lens := self.lens) is not None:
            size = memoryview(data).nbytes
            began = lens.enters("send", self, size)
        try:
            count = super().send(data, flags)
        except OSError as error:
            if (lens := self.lens) is not None:
                lens.fails("send", self, size, began, error)
            raise
        if (lens := self.lens) is not None:
            lens.returns("send", self, size, began, count, memoryview(data).cast("B")[:count])
        if tap is not None:
            self._show(tap.sent, memoryview(data).cast("B")[:count])
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        tap = self.tap
        size, began = 0, 0.0
        if (lens := self.lens) is not None:
            size = memoryview(data).nbytes
            began = lens.enters("sendall", self, size)
        try:
            super().sendall(data, flags)
        except OSError as error:
            if (lens := self.lens) is not None:
                lens.fails("sendall", self, size, began, error)
            raise
        if (lens := self.lens) is not None:
            lens.returns("sendall", self, size, began, memoryview(data).nbytes, data)
        if tap is not None:
            self._show(tap.sent, data)

    def sendmsg(self, buffers: Iterable[Any], *rest: Any) -> int:
        parts = list(buffers)
        tap = self.tap
        size, began = 0, 0.0
        if (lens := self.lens) is not None:
            size = sum(memoryview(part).nbytes for part in parts)
            began = lens.enters("sendmsg", self, size)
        try:
            count = super().sendmsg(parts, *rest)
        except OSError as error:
            if (lens := self.lens) is not None:
                lens.fails("sendmsg", self, size, began, error)
            raise
        if (lens := self.lens) is not None:
            lens.returns("sendmsg", self, size, began, count, b"".join(parts)[:count])
        if tap is not None:
            self._show(tap.sent, b"".join(parts)[:count])
        return count

    def shutdown(self, how: int, /) -> None:
        began = 0.0 if (lens := self.lens) is None else lens.enters("shutdown", self, how)
        try:
            super().shutdown(how)
        except OSError as error:
            if (lens := self.lens) is not None:
                lens.fails("shutdown", self, how, began, error)
            raise
        if (lens := self.lens) is not None:
            lens.returns("shutdown", self, how, began, 0)

    def close(self) -> None:
        if (lens := self.lens) is None or self.fileno() < 0:
            super().close()
            return
        began = lens.enters("close", self, None)
        super().close()
        lens.returns("close", self, None, began, 0)

    def _show(self, how: Callable[[Any], object], data: Any) -> None:
        if not safely(how, data):
            self.show_to(None)


def safely(call: Callable[[Any], object], argument: Any) -> bool:
    """Whether it went well: what watches must not hurt what is watched."""
    try:
        call(argument)
    except Exception:
        report()
        return False
    return True


def report() -> None:
    # In a context of nobody's: otherwise it would be an exception of the server's.
    contextvars.Context().run(log.exception, "what watches a server has failed; the server goes on unwatched")
