"""Sockets that report each client's coming and going, and are sockets in everything else.

A variant gets a ``Listener`` and uses it like any listening socket; what it accepts are ``Connection``s. Only calls
that are rare are overridden (``accept``, ``listen``, ``close``), so that nothing is added to the path of a message: how
many bytes went through is the kernel's to know (tcp(7), TCP_INFO). Only while the bytes are watched
themselves does a connection change its class for one that shows them.
"""

from __future__ import annotations

import contextvars
import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

log = logging.getLogger("echodeck.witness")

_GONE_BEFORE_ACCEPT = {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH}
_NO_DESCRIPTOR_LEFT = {errno.EMFILE, errno.ENFILE}
_TURNED_AWAY_IN_ONE_GO = 64


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


class Connection(socket.socket):
    """An accepted socket that says when it closes.

    ``client`` is whatever its watcher remembers of it, and stays after the close.
    """

    __slots__ = ("client", "tap", "watcher")
    watcher: Watcher | None
    client: Any
    tap: Tap | None

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
            _safely(watcher.closes, self)

    def show_to(self, tap: Tap | None) -> None:
        """From the next call on, show what is received and sent; to nobody with None."""
        self.tap = tap
        if tap is not None:
            self.__class__ = TappedConnection
        elif self.gettimeout() == 0.0:
            self.__class__ = Connection


class TappedConnection(Connection):
    """One whose bytes are shown to its tap, while it has one.

    A socket that does not block comes to wear this class when it is tapped. One that blocks wears it from the start,
    because a thread that waits in the kernel's ``recv`` would not notice the change, and the first bytes would be
    missed. A library that knows only the descriptor, as uvloop's transports do, calls none of this and shows nothing.
    """

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = super().recv(bufsize, flags)
        if (tap := self.tap) is not None and not flags & socket.MSG_PEEK:
            self._show(tap.received, data)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        count = super().recv_into(buffer, nbytes, flags)
        if (tap := self.tap) is not None and not flags & socket.MSG_PEEK:
            self._show(tap.received, memoryview(buffer).cast("B")[:count])
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        tap = self.tap  # asked for before: what is on its way when the tap comes was sent without it
        count = super().send(data, flags)
        if tap is not None:
            self._show(tap.sent, memoryview(data).cast("B")[:count])
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        tap = self.tap
        super().sendall(data, flags)
        if tap is not None:
            self._show(tap.sent, data)

    def sendmsg(self, buffers: Iterable[Any], *rest: Any) -> int:
        parts = list(buffers)
        tap = self.tap
        count = super().sendmsg(parts, *rest)
        if tap is not None:
            self._show(tap.sent, b"".join(parts)[:count])
        return count

    def _show(self, how: Callable[[Any], object], data: Any) -> None:
        if not _safely(how, data):
            self.show_to(None)


class Listener(socket.socket):
    """A listening socket whose clients are all known to its watcher."""

    watcher: Watcher
    backlog: int = 128
    _retired = False

    def listen(self, backlog: int | None = None, /) -> None:
        """Keep the backlog that the server was set to, whatever a variant or a library asks for."""
        super().listen(self.backlog)

    def accept(self) -> tuple[socket.socket, Any]:
        """As ``socket.accept``, except that clients that cannot be kept are closed here and the next one is taken.

        Raises:
            BlockingIOError: not blocking, and no client is there that the server may keep.
            OSError: the listener itself is broken or was shut down.
        """
        turned_away = 0
        while True:
            if turned_away == _TURNED_AWAY_IN_ONE_GO and self.gettimeout() == 0.0:
                raise BlockingIOError(errno.EAGAIN, "only clients that are turned away")  # let the loop turn
            turned_away += 1
            try:
                descriptor, address = self._accept()  # type: ignore[attr-defined]  # what socket.accept itself calls
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR_LEFT:
                    self._turn_away(error)
                elif error.errno not in _GONE_BEFORE_ACCEPT and not self._was_swapped(error):
                    raise
                continue
            if descriptor >= self.watcher.descriptor_bound:
                descriptor = _lowest(descriptor)
            kind = Connection if self.gettimeout() == 0.0 else TappedConnection
            connection = kind(self.family, self.type, self.proto, fileno=descriptor)
            connection.watcher = connection.client = connection.tap = None
            try:
                if self.watcher.admits(connection, address):
                    connection.watcher = self.watcher
                    return connection, address
            except Exception:  # it is served unwatched
                _report()
                return connection, address
            connection.close()

    def retire(self) -> None:
        """Let nobody in any more, and leave the variant in the belief that nobody comes.

        The kernel refuses new clients and resets those in the queue. Behind the variant's back its descriptor becomes
        that of a socket nobody can reach (dup2(2)): a selector forgets it, a blocked ``accept`` blocks again, and
        neither fails nor spins.
        """
        door = socket.socket(fileno=os.dup(self.fileno()))
        with door, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as nowhere:
            nowhere.bind("")  # an abstract name that the kernel makes up, unix(7)
            nowhere.listen(1)
            nowhere.setblocking(self.gettimeout() != 0.0)
            self._retired = True
            os.dup2(nowhere.fileno(), self.fileno(), inheritable=False)
            door.shutdown(socket.SHUT_RDWR)  # closing alone would not wake an accept that is blocked in it

    def _was_swapped(self, error: OSError) -> bool:
        retired, self._retired = self._retired, False
        return retired and error.errno == errno.EINVAL

    def _turn_away(self, error: OSError) -> None:
        # accept(2) takes a descriptor before it looks at the queue, so it fails at the bound even if nobody waits:
        # without this poll a blocked accept would spin.
        poll = select.poll()
        poll.register(self, select.POLLIN)
        if not poll.poll(0):
            if self.gettimeout() == 0.0:
                raise BlockingIOError(errno.EAGAIN, "nobody waits")
            poll.poll()
            return  # by now there may be a descriptor
        if _SPARE.spend_on(self):
            _safely(self.watcher.turned_away, error)


def _safely(call: Callable[[Any], object], argument: Any) -> bool:
    """Whether it went well: what watches must not hurt what is watched."""
    try:
        call(argument)
    except Exception:
        _report()
        return False
    return True


def _report() -> None:
    # In a context of nobody's: otherwise it would be an exception of the server's.
    contextvars.Context().run(log.exception, "what watches a server has failed; the server goes on unwatched")


def _lowest(descriptor: int) -> int:
    """The same socket under the lowest number that is free now.

    accept(2) takes its number before it waits: what a blocked one got while all others were taken says nothing of now.
    """
    try:
        lower = os.dup(descriptor)
    except OSError:
        return descriptor
    if lower > descriptor:
        os.close(lower)
        return descriptor
    os.close(descriptor)
    return lower


class _Spare:
    """One descriptor held back: given up for a moment, it lets a client be accepted and told to go.

    Left in the queue, that client would keep the listener readable, and a thread that polls it awake, for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def spend_on(self, listener: Listener) -> bool:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
            try:
                descriptor, _ = listener._accept()  # type: ignore[attr-defined]
                os.close(descriptor)
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR_LEFT:
                    raise
                return False
            finally:
                try:
                    self._descriptor = os.open(os.devnull, os.O_RDONLY)
                except OSError:
                    self._descriptor = -1  # another thread was faster; the next client tries again
            return True


_SPARE = _Spare()
