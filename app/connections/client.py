"""One client of a server: inside (accepted), or waiting in the accept queue."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from app.kernel import tcp_info
from app.kernel.traffic import NO_TRAFFIC, Traffic
from servers import Connection

LEFT = Connection()
LEFT.unwatched()
LEFT.close()
"""In the place of the connection of a client that has left."""

Address = tuple[str, int]
"""IP address and port."""


ConnectionState = Literal["open", "waiting", "peer-closed"]

CONNECTION_STATES: dict[ConnectionState, str] = {
    "open": "inside",
    "waiting": "waiting",
    "peer-closed": "client has closed",
}
"""In words for people."""


class Books(Protocol):
    """Where a client's traffic is added up."""

    def saw(self, client: Client, traffic: Traffic) -> None: ...


@dataclass(slots=True, eq=False)
class Client:
    """One that is inside. ``since`` in seconds of the epoch; ``seen``, ``unread`` and ``pulse`` are what the latest
    look at it showed, and ``version`` grows when that changes; ``final`` is its traffic, once it was hung up from
    here or has left; ``gone`` are called when it has left; ``head`` is the JSON of what never changes about it,
    empty before its first use."""

    number: int
    server: str
    connection: Connection
    address: Any
    since: float
    books: Books
    seen: Traffic = NO_TRAFFIC
    unread: int = 0
    pulse: tcp_info.Pulse = ()
    idle: float = 0.0
    rtt_us: int = 0
    final: Traffic | None = None
    hung_up: bool = False
    head: str = ""
    gone: tuple[Callable[[], object], ...] = ()
    version: int = 0

    @property
    def traffic(self) -> Traffic:
        """As the kernel has it now."""
        try:
            return self.final or tcp_info.traffic(self.connection)
        except OSError:  # closed
            return self.seen

    @property
    def latest(self) -> tcp_info.Figures:
        """As of the latest look."""
        return tcp_info.Figures(*tcp_info.reading(self.pulse), self.unread, self.idle, self.rtt_us)

    @property
    def local(self) -> Address:
        """Raises:
        OSError: it is closed.
        """
        address: Address = self.connection.getsockname()[:2]
        return address

    def figures(self) -> tcp_info.Figures:
        """As the kernel has them now.

        Raises:
            OSError: it is closed.
        """
        return tcp_info.figures(self.connection)

    def look(self) -> bool:
        """Ask the kernel what has changed; returns whether anything has."""
        try:
            info = tcp_info.info(self.connection)
            pulse = tcp_info.pulse(info)
            if pulse == self.pulse and not self.unread:
                return False
            unread = tcp_info.unread(self.connection)
        except OSError:  # closed
            return False
        if pulse == self.pulse and unread == self.unread:
            return False
        self.pulse, self.unread = pulse, unread
        self.idle, self.rtt_us = tcp_info.timing(info)
        self.version += 1
        self.books.saw(self, self.final or tcp_info.reading(pulse)[0])
        return True

    def hang_up(self) -> None:
        """Shut it both ways: a thread or task that reads from it or sends to it comes back at once."""
        self.hung_up = True
        # Counted now: once both sides have shut it, the kernel no longer tells a FIN from a byte.
        self.final = self.traffic
        with suppress(OSError):  # not connected any more, or closed
            self.connection.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True, eq=False)
class Waiter:
    """One that the kernel has connected and no server has accepted, as seen by the latest look.

    ``since`` is when it was first seen, in seconds of the epoch: the kernel does not tell when it came.
    """

    number: int
    server: str
    address: Address
    local: Address
    since: float
    unread: int
    seen: float = 0.0
    head: str = ""
