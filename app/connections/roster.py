"""Every client of every server by number: those inside, and those that were seen in an accept queue.

A client has one number for all its life: one that was seen in the accept queue keeps it when it is accepted. The door
is ``clients`` (on whatever thread accepts and closes); the readers are on the loop.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from app.connections.client import LEFT, Address, Books, Client, Waiter
from app.errors import Unknown
from servers import Connection

ON_THE_SILL = 2.0
"""Seconds for which a client that has left the queue may still turn out to have been accepted."""


class Roster:
    """``node`` is the name of this app in a fleet, if it is in one; ``boot`` tells the numbers of one life of the app
    from those of the next. ``most`` bounds how many clients may be
    inside of all servers together; None for no bound but that of the descriptors.

    While ``news`` is a queue and not None, each client that enters or leaves is appended to it. ``looked_at`` is when,
    by the monotonic clock, the oldest of the latest looks at all clients was taken.
    """

    def __init__(self, node: str = "") -> None:
        self.boot = 1
        self._prefix = f"{node}." if node else ""
        self.most: int | None = None
        self.looked_at = 0.0
        self.news: deque[tuple[bool, Client]] | None = None
        self._clients: dict[int, Client] = {}
        self._looking = False
        self._on_the_sill: dict[tuple[str, Address], Waiter] = {}
        self._waiters: dict[tuple[str, Address], Waiter] = {}
        self._let_in: set[tuple[str, Address]] = set()
        self._expected: dict[tuple[str, Address], Callable[[Client], object]] = {}
        self._numbers = itertools.count(1)

    # The door

    def enter(self, server: str, connection: Connection, address: Any, since: float, books: Books) -> Client:
        waiter = None
        if self._looking:
            self._let_in.add((server, address[:2]))
        if self._waiters or self._on_the_sill:
            key = (server, address[:2])
            waiter = self._waiters.pop(key, None) or self._on_the_sill.pop(key, None)
        number = waiter.number if waiter else next(self._numbers)
        client = Client(number, server, connection, address, since, books)
        connection.client = self._clients[number] = client
        if self.news is not None:
            self.news.append((True, client))
        if self._expected and (call := self._expected.pop((server, address[:2]), None)):
            call(client)
        return client

    def leave(self, client: Client) -> None:
        self._clients.pop(client.number, None)
        client.connection = LEFT  # else the two would hold each other, until the garbage collector comes
        if self.news is not None:
            self.news.append((False, client))
        for call in client.gone:
            call()

    def expect(self, server: str, address: Address, call: Callable[[Client], object]) -> None:
        """Call this once the client from that address is accepted, on the thread that does it."""
        self._expected[server, address] = call

    def expect_no_more(self, server: str, address: Address) -> None:
        self._expected.pop((server, address), None)

    # The readers

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def full(self) -> bool:
        return self.most is not None and len(self._clients) >= self.most

    def id(self, number: int) -> str:
        return f"{self._prefix}{self.boot}-{number}"

    def find(self, id: str) -> Client | Waiter:
        """The client that has this id now.

        Raises:
            Unknown: no client has.
        """
        found: Client | Waiter | None = None
        if parts := re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", id.removeprefix(self._prefix)):
            number = int(parts[2])
            if self.id(number) == id:
                found = self._clients.get(number) or next((one for one in self.waiters() if one.number == number), None)
        if found is None:
            raise Unknown(f"There is no connection {id!r}; it may have ended.", what="connection")
        return found

    def has(self, id: str | None) -> bool:
        """Whether a client has this id now, as of the latest look at the queues."""
        try:
            self.find(id or "")
        except Unknown:
            return False
        return True

    def clients(self) -> list[Client]:
        """All clients inside."""
        return list(self._clients.values())

    def waiters(self) -> list[Waiter]:
        """The clients that the latest look found in the queues."""
        return list(self._waiters.values())

    def holds(self, client: Client) -> bool:
        return client.number in self._clients

    def begin_look(self) -> None:
        """The queues are about to be looked at: a client accepted from now on no longer waits."""
        self._let_in.clear()
        self._looking = True

    def saw_waiting(self, found: Iterable[tuple[str, Address, Address, int]], looked: float) -> None:
        """Remember the clients that waited then, given as server, local address, peer and bytes sent.

        A client that is missing has gone, and one accepted since ``begin_look`` no longer waits.
        """
        seen: dict[tuple[str, Address], Waiter] = {}
        for server, local, peer, unread in found:
            waiter = self._waiters.get((server, peer))
            if waiter is None:
                waiter = Waiter(next(self._numbers), server, peer, local, looked, unread)
            waiter.unread, waiter.seen = unread, looked
            seen[server, peer] = waiter
        # A missing client may have been accepted this moment, and be about to enter in another thread.
        known = [*tuple(self._on_the_sill.items()), *tuple(self._waiters.items())]
        self._on_the_sill = {key: one for key, one in known if key not in seen and looked - one.seen < ON_THE_SILL}
        self._waiters = seen  # before the accepted ones are left out: a client accepted meanwhile is found here
        for one in tuple(self._let_in):
            seen.pop(one, None)
        self._looking = False
