"""A terminal's end towards the server: a TCP connection, its socket registered with the loop.

No transport of asyncio's, because one that fails to write gives up reading too: what the server sent before it reset
the connection still lies in the kernel, and may lie there for long, until the page gives credit.

What was read lies in ``INBOX`` behind room for a frame's header, and goes on from there without being put together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Protocol

from app.terminals.frames import Inbox

log = logging.getLogger("echodeck.terminal")

PIECE = 262_144
"""Bytes read at once."""

INBOX = Inbox(PIECE)
"""What was just read; of all terminals, because it is dealt with before anything else is read."""

SECONDS_BETWEEN_LOOKS = 5.0
MOST_LOOKS = 6
"""After the page has left: looks at which the server may take nothing of the rest, or send on after it took all."""


class ServerListener(Protocol):
    """Is called with what the server does."""

    def bytes_from_server(self, count: int) -> None:
        """``count`` bytes are in ``INBOX``, until this returns."""

    def unsent_changed(self) -> None:
        """Some of what the server did not take at once has gone, or more has come."""

    def ended(self, reset: bool) -> None:
        """All that the server sent has been read. A second call says that it was reset after its end."""

    def closed(self) -> None:
        """The socket is closed."""

    def failed(self) -> None:
        """A bug; it was logged."""


class ServerEnd:
    """Reads ``room`` bytes at a time, which its taker sets; while that is 0 nothing is read."""

    def __init__(self, sock: socket.socket, listener: ServerListener) -> None:
        self.room = PIECE
        self._socket = sock
        self._listener = listener
        self._unsent = bytearray()
        self._finishing = False  # after what is unsent comes FIN
        self._finished = False
        self._broken = False
        self._ended = False
        self._leaving = False
        self._reading = False
        self._moved = 0
        self._moved_before = 0
        self._looks = 0
        self._look: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.regulate()

    @property
    def unsent(self) -> int:
        """Bytes that the kernel did not take yet."""
        return len(self._unsent)

    @property
    def takes_no_more(self) -> bool:
        """What is sent from now on goes nowhere."""
        return self._finishing or self._broken

    @property
    def is_closed(self) -> bool:
        return self._socket.fileno() < 0

    def regulate(self) -> None:
        """Read or do not read, as ``room`` says."""
        wanted = not self._ended and self.room > 0
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._loop.add_reader(self._socket, self._readable)
            else:
                self._loop.remove_reader(self._socket)

    def send(self, data: bytes) -> None:
        """Send this, now or when the server has taken what came before. Nothing after ``finish``, or after the server
        has gone."""
        if self._finishing or self._broken:
            return
        if self._unsent:
            self._unsent += data
            self._listener.unsent_changed()
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._break()
            return
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._socket, self._writable)
            self._listener.unsent_changed()
        if self._ended and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._break()  # nobody reads any more, and would notice

    def finish(self) -> None:
        """Send FIN after all that was sent before."""
        if not self._finishing:
            self._finishing = True
            if not self._unsent:
                self._finish()

    def leave(self) -> None:
        """The page has left: what it sent still goes to the server, what comes from there is wanted no more."""
        if self._leaving:
            return
        self._leaving = True
        self.room = PIECE
        self.finish()
        if self._ended and not self._unsent:
            self.close()
        else:
            # Closed now, the kernel would reset the connection over what the server is about to send, and the server
            # perhaps not read what is on its way to it.
            self.regulate()
            self._watch()

    def close(self) -> None:
        if self.is_closed:
            return
        if self._look is not None:
            self._look.cancel()
        self.room = 0
        self.regulate()
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._ended = self._broken = self._leaving = True
        self._listener.closed()

    # How

    def _readable(self) -> None:
        try:
            count = self._socket.recv_into(INBOX.payload, self.room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end(reset=True)
            return
        if not count:
            self._end(reset=self._broken)
        elif self._leaving:
            self._moved += count
        else:
            try:
                self._listener.bytes_from_server(count)
            except Exception:
                log.exception("a terminal failed")
                self._listener.failed()

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._break()
            return
        self._moved += sent
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            if self._finishing:
                self._finish()
        self._listener.unsent_changed()
        if self._leaving and self._ended and not self._unsent:
            self.close()

    def _finish(self) -> None:
        self._finished = True
        with suppress(OSError):  # it was reset; reading says so
            self._socket.shutdown(socket.SHUT_WR)

    def _break(self) -> None:
        """The server takes nothing any more; what it sent before is still to be read."""
        self._broken = True
        self._unsent.clear()
        self._loop.remove_writer(self._socket)
        self._listener.unsent_changed()
        if self._ended:
            self._end(reset=True)

    def _end(self, reset: bool) -> None:
        self._ended = True
        self._broken = self._broken or reset
        self.regulate()
        if self._leaving and (self._broken or not self._unsent):
            self.close()
        else:
            self._listener.ended(reset)

    def _watch(self) -> None:
        self._moved_before = self._moved
        self._look = self._loop.call_later(SECONDS_BETWEEN_LOOKS, self._looked)

    def _looked(self) -> None:
        self._looks = 0 if self._unsent and self._moved != self._moved_before else self._looks + 1
        if self._looks > MOST_LOOKS or (self._finished and self._moved == self._moved_before):
            self.close()
        else:
            self._watch()
