"""Who is inside: the connections that one run of a server has open, and their counts."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app import descriptors, kernel
from app.connections import Tally, Traffic
from servers import Connection

log = logging.getLogger("echodeck.clients")


@dataclass
class _Client:
    """``final`` is its traffic, once it was hung up from here."""

    address: Any
    final: Traffic | None = None


class Clients:
    """The watcher of a run's listener (``servers.Watcher``): told on whatever thread accepts and closes.

    ``tally`` outlives the run. ``most`` bounds how many may be open at once. After ``refuse`` nobody is let in.
    """

    def __init__(self, name: str, tally: Tally) -> None:
        self.most: int | None = None
        self._name = name
        self._tally = tally
        self._lock = threading.Lock()
        self._open: dict[Connection, _Client] = {}
        self._refusing = False
        self._shed = False
        self._empty = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor_bound = descriptors.bound()

    # As the listener's watcher

    def admits(self, connection: Connection, address: Any) -> bool:
        if connection.fileno() >= self._descriptor_bound:
            self.turned_away(OSError(errno.EMFILE, "the rest is kept for the page"))
            return False
        with self._lock:
            if self._refusing or (self.most is not None and len(self._open) >= self.most):
                self._tally.turned_away += 1
                return False
            self._open[connection] = _Client(address)
            self._tally.opened()
        return True

    def closes(self, connection: Connection) -> None:
        traffic = _traffic(connection)
        with self._lock:
            client = self._open.pop(connection, None)
            if client is None:
                return
            self._tally.closed(client.final or traffic)
            emptied = self._refusing and not self._open
        if emptied:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._empty.set)

    def turned_away(self, error: OSError) -> None:
        with self._lock:
            self._tally.turned_away += 1
            first, self._shed = not self._shed, True
        if first:  # one incident, not one a client
            log.warning("%s turns clients away: no descriptor is left (%s)", self._name, error)

    # As the run's

    def all(self) -> list[Connection]:
        with self._lock:
            return list(self._open)

    @property
    def traffic(self) -> Traffic:
        """Of the connections that are open now."""
        bytes_in = bytes_out = 0
        for connection in self.all():
            traffic = _traffic(connection)
            bytes_in += traffic.bytes_in
            bytes_out += traffic.bytes_out
        return Traffic(bytes_in, bytes_out)

    def refuse(self) -> None:
        """Let nobody in from now on."""
        with self._lock:
            self._refusing = True
            if not self._open:
                self._empty.set()

    async def emptied(self) -> None:
        """Return when the last one has left, after ``refuse``."""
        await self._empty.wait()

    def hang_up(self, connection: Connection) -> None:
        """Shut it both ways: whoever reads from it or sends to it, in whatever thread, comes back at once."""
        # Counted now: once both sides have shut it, the kernel no longer tells a FIN from a byte.
        traffic = _traffic(connection)
        with self._lock:
            if client := self._open.get(connection):
                client.final = client.final or traffic
        with suppress(OSError):  # not connected any more, or closed
            connection.shutdown(socket.SHUT_RDWR)

    def hang_up_all(self) -> None:
        for connection in self.all():
            self.hang_up(connection)

    async def hang_up_idle(self, seconds: float) -> None:
        """For ever: hang up whoever neither sent nor got a byte for so long."""
        while True:
            soonest = seconds
            for connection in self.all():
                with suppress(OSError):
                    left = seconds - kernel.idle(connection)
                    if left <= 0:
                        self.hang_up(connection)
                    else:
                        soonest = min(soonest, left)
            await asyncio.sleep(max(soonest, 0.02))

    def close_all(self) -> None:
        for connection in self.all():
            connection.close()


def _traffic(connection: Connection) -> Traffic:
    try:
        return kernel.traffic(connection)
    except OSError:  # closed
        return Traffic()
