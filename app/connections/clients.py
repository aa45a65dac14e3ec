"""The connections that one run of a server has open, and their counts."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from app.connections.breaches import BREACH_WORDS, Limit
from app.connections.client import Client
from app.connections.roster import Roster
from app.connections.tally import Tally
from app.kernel import descriptors, tcp_info
from app.kernel.traffic import Traffic
from servers import Connection

log = logging.getLogger("echodeck.clients")


class Permit(Protocol):
    """Whether anybody may be served now."""

    @property
    def open(self) -> bool: ...


class Clients:
    """The watcher of a run's listener (``servers.Watcher``): called on whatever thread accepts and closes.

    ``tally`` outlives the run. ``most`` bounds how many may be open at once, ``most_of_one`` how many from one address;
    ``breached`` is called with a sentence when that, or another limit, begins to be reached, on whatever thread. If
    there is a ``permit``, nobody is let in unless it is open; after ``refuse`` nobody at all.
    """

    def __init__(self, name: str, tally: Tally, roster: Roster, breached: Callable[[str], None]) -> None:
        self.most: int | None = None
        self.most_of_one: int | None = None
        self.permit: Permit | None = None
        self._breached = breached
        self._peers: Counter[str] = Counter()
        self._name = name
        self._tally = tally
        self._roster = roster
        self._lock = threading.Lock()
        self._open: dict[int, Client] = {}
        self._refusing = False
        self._empty = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.descriptor_bound = descriptors.bound()

    # As the listener's watcher

    def admits(self, connection: Connection, address: Any) -> bool:
        if connection.fileno() >= self.descriptor_bound:
            self.turned_away(OSError(errno.EMFILE, "the rest is kept for the page"))
            return False
        with self._lock:
            limit = self._hindrance(address[0])
            if self._refusing or limit or not (self.permit is None or self.permit.open):
                self._tally.turned_away += 1
                begins = limit is not None and self._tally.breaches.add(limit, time.monotonic())
            else:
                client = self._roster.enter(self._name, connection, address, time.time(), self)
                self._open[client.number] = client
                self._peers[address[0]] += 1
                self._tally.opened()
                return True
        if begins and limit:
            self._breached(BREACH_WORDS[limit].format(address[0]))
        return False

    def _hindrance(self, peer: str) -> Limit | None:
        """The limit that a client from this address would exceed."""
        if self.most is not None and len(self._open) >= self.most:
            return "max_connections"
        if self.most_of_one is not None and self._peers[peer] >= self.most_of_one:
            return "max_per_peer"
        return "connections" if self._roster.full else None

    def closes(self, connection: Connection) -> None:
        client: Client = connection.client
        client.final = traffic = client.traffic
        with self._lock:
            if self._open.pop(client.number, None) is None:
                return
            peer = client.address[0]
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]
            self._tally.closed(traffic, client.seen)
            emptied = self._refusing and not self._open
        self._roster.leave(client)
        if emptied:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._empty.set)

    def turned_away(self, error: OSError) -> None:
        with self._lock:
            self._tally.turned_away += 1
            begins = self._tally.breaches.add("descriptors", time.monotonic())
        if begins:  # one incident, not one a client
            log.warning("%s turns clients away: no descriptor is left (%s)", self._name, error)
            self._breached(BREACH_WORDS["descriptors"])

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
                        self._note_idle()
                    else:
                        soonest = min(soonest, left)
            await asyncio.sleep(max(soonest, 0.02))

    def _note_idle(self) -> None:
        with self._lock:
            begins = self._tally.breaches.add("idle_timeout", time.monotonic())
        if begins:
            self._breached(BREACH_WORDS["idle_timeout"])

    def close_all(self) -> None:
        for client in self.all():
            client.connection.close()
