"""A listening socket that reports each client's coming and going, and is a socket in everything else.

A variant gets a ``Listener`` and uses it like any listening socket; what it accepts are ``Connection``s. Only calls
that are rare are overridden (``accept``, ``listen``, ``close``), so that nothing is added to the path of a message: how
many bytes went through is the kernel's to know (tcp(7), TCP_INFO).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from contextlib import suppress
from typing import Any

from servers._connection import Connection, Lens, ShownConnection, Watcher, report, safely

_GONE_BEFORE_ACCEPT = {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH}
_NO_DESCRIPTOR_LEFT = {errno.EMFILE, errno.ENFILE}
_TURNED_AWAY_IN_ONE_GO = 64

Address = tuple[str, int]


class Listener(socket.socket):
    """A listening socket whose clients are all known to its watcher."""

    watcher: Watcher
    backlog: int = 128
    lens: Lens | None = None
    _retired = False
    _shut = False
    _knocked = False

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
            began = 0.0 if (lens := self.lens) is None else lens.enters("accept", self, None)
            try:
                descriptor, address = self._accept()  # type: ignore[attr-defined]  # what socket.accept itself calls
                if self._knocked:
                    os.close(descriptor)
                    raise ConnectionAbortedError(errno.ECONNABORTED, "it came to wake this accept")
            except OSError as error:
                if (lens := self.lens) is not None:
                    lens.fails("accept", self, None, began, error)
                if error.errno in _NO_DESCRIPTOR_LEFT:
                    self._turn_away(error)
                elif error.errno not in _GONE_BEFORE_ACCEPT and not self._was_swapped(error):
                    raise
                continue
            if descriptor >= self.watcher.descriptor_bound:
                descriptor = _lowest(descriptor)
            kind = Connection if self.gettimeout() == 0.0 else ShownConnection
            connection = kind(self.family, self.type, self.proto, fileno=descriptor)
            connection.unwatched()
            stays = True
            try:
                if stays := self.watcher.admits(connection, address):
                    connection.watcher = self.watcher
            except Exception:  # it is served unwatched
                report()
            if (lens := self.lens) is not None:
                lens.returns("accept", self, None, began, connection)
                connection.look_through(lens)
            if stays:
                return connection, address
            connection.close()

    def retire(self, knock_at: Address | None = None) -> None:
        """Let nobody in any more, and leave the variant in the belief that nobody comes.

        The kernel refuses new clients and resets those in the queue. Behind the variant's back its descriptor becomes
        that of a socket nobody can reach (dup2(2)): a selector forgets it, a blocked ``accept`` blocks again, and
        neither fails nor spins. For ``knock_at`` see ``shut``.
        """
        try:
            door = socket.socket(fileno=os.dup(self.fileno()))
        except OSError:
            return self._knock(knock_at)
        with door, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as nowhere:
            nowhere.bind("")  # an abstract name that the kernel makes up, unix(7)
            nowhere.listen(1)
            nowhere.setblocking(self.gettimeout() != 0.0)
            self._retired = True
            os.dup2(nowhere.fileno(), self.fileno(), inheritable=False)
            try:
                door.shutdown(socket.SHUT_RDWR)  # closing alone would not wake an accept that is blocked in it
            except OSError:
                self._knock(knock_at)

    def shut(self, knock_at: Address | None = None) -> None:
        """Let nobody in any more, and let an ``accept`` that is blocked fail, in whatever thread.

        ``knock_at`` is where it listens, if there may be such a thread. A blocked accept holds on to its socket, and so
        to its port, even when the descriptor was closed or has become another's; there is nothing left to shut then,
        and only a client wakes it. So one comes, whom nobody gets to see.
        """
        try:
            self.shutdown(socket.SHUT_RDWR)
            self._shut = True
        except OSError:
            if not self._shut:
                self._knock(knock_at)

    def _knock(self, address: Address | None) -> None:
        if address is not None:
            self._knocked = True
            with suppress(OSError), socket.socket(self.family, self.type) as client:
                client.setblocking(False)
                client.connect(address)

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
            safely(self.watcher.turned_away, error)


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
