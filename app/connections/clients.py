"""The connections that one run of a server has open, and their counts."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
import time
from contextlib import suppress
from typing import Any

from app.connections.client import Client
from app.connections.roster import Roster
from app.connections.tally import Tally
from app.kernel import descriptors, tcp_info
from app.kernel.traffic import Traffic
from servers import Connection

log = logging.getLogger("echodeck.clients")


class Clients:
    """The watcher of a run's listener (``servers.Watcher``): called on whatever thread accepts and closes.

    ``tally`` outlives the run. ``most`` bounds how many may be open at once. After ``refuse`` no client is let in.
    """

    def __init__(self, name: str, tally: Tally, roster: Roster) -> None:
        self.most: int | None = None
        self._name = name
        self._tally = tally
        self._roster = roster
        self._lock = threading.Lock()
        self._open: dict[int, Client] = {}
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
            client = self._roster.enter(self._name, connection, address, time.time(), self)
            self._open[client.number] = client
            self._tally.opened()
        return True

    def closes(self, connection: Connection) -> None:
        client: Client = connection.client
        client.final = traffic = client.traffic
        with self._lock:
            if self._open.pop(client.number, None) is None:
                return
            self._tally.closed(traffic, client.seen)
            emptied = self._refusing and not self._open
        self._roster.leave(client)
        if emptied:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._empty.set)

    def turned_away(self, error: OSError) -> None:
        with self._lock:
            self._tally.turned_away += 1
            first, self._shed = not self._shed, True
        if first:  # one incident, not one a client
            log.warning("%s turns clients away: no descriptor is left (%s)", self._name, error)

    # As their books (``roster.Books``)

    def saw(self, client: Client, traffic: Traffic) -> None:
        with self._lock:
            if client.number in self._open:
                self._tally.seen += traffic - client.seen
                client.seen = traffic

    # As the run's

    def all(self) -> list[Client]:
        with self._lock:
            return list(self._open.values())

    @property
    def traffic(self) -> Traffic:
        """Of the connections that are open now."""
        bytes_in = bytes_out = 0
        for client in self.all():
            traffic = client.traffic
            bytes_in += traffic.bytes_in
            bytes_out += traffic.bytes_out
        return Traffic(bytes_in, bytes_out)

    def refuse(self) -> None:
        """Close every further client."""
        with self._lock:
            self._refusing = True
            if not self._open:
                self._empty.set()

    async def emptied(self) -> None:
        """Return when the last one has left, after ``refuse``."""
        await self._empty.wait()

    def hang_up_all(self) -> None:
        for client in self.all():
            client.hang_up()

    async def hang_up_idle(self, seconds: float) -> None:
        """For ever: hang up clients without a byte either way for this many seconds."""
        while True:
            soonest = seconds
            for client in self.all():
                with suppress(OSError):
                    left = seconds - tcp_info.idle(client.connection)
                    if left <= 0:
                        client.hang_up()
                    else:
                        soonest = min(soonest, left)
            await asyncio.sleep(max(soonest, 0.02))

    def close_all(self) -> None:
        for client in self.all():
            client.connection.close()
