"""What the kernel holds for a server's clients at a moment: the accept queue, and each connection's buffers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from app.connections.roster import Roster
from app.kernel import tcp_info
from app.supervising.run import Run

MOST_SHOWN = 50
"""Connections whose buffers are told; those that came first."""


@dataclass(frozen=True)
class Buffers:
    """``queue`` in clients; the others in bytes, by connection: received and unread, sent and not acknowledged."""

    queue: int
    unread: dict[str, int]
    unsent: dict[str, int]


def buffers(run: Run, roster: Roster) -> Buffers:
    unread: dict[str, int] = {}
    unsent: dict[str, int] = {}
    for client in run.clients.all()[:MOST_SHOWN]:
        id = roster.id(client.number)
        with suppress(OSError):  # closed
            unread[id] = tcp_info.unread(client.connection)
            unsent[id] = tcp_info.unsent(client.connection)
    return Buffers(run.waiting, unread, unsent)
