"""Connections: of clients inside, and of clients that wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.addresses import format_address
from app.connections.client import Client, ConnectionState, Waiter
from app.connections.roster import Roster
from app.kernel.tcp_info import Figures


class ConnectionHead(BaseModel):
    """What never changes."""

    model_config = ConfigDict(defer_build=True)

    id: str
    server: str
    peer: Annotated[str, Field(examples=["127.0.0.1:51312"])]
    local: str
    since: Annotated[datetime, Field(description="When it was accepted; of one that waits, when it was first seen.")]

    @classmethod
    def of_client(cls, one: Client | Waiter, roster: Roster) -> ConnectionHead:
        """Raises:
        OSError: it has just ended.
        """
        return ConnectionHead(
            id=roster.id(one.number),
            server=one.server,
            peer=format_address(*one.address[:2]),
            local=format_address(*one.local),
            since=datetime.fromtimestamp(one.since, UTC),
        )


class ConnectionShape(ConnectionHead):
    state: Annotated[
        ConnectionState,
        Field(description="waiting: in the accept queue; peer-closed: the client has closed, the server has not yet."),
    ]
    bytes_in: Annotated[int, Field(description="From the client.")]
    bytes_out: int
    unread: Annotated[int, Field(description="Bytes that came and that the server has not read.")]
    idle: Annotated[float | None, Field(description="Seconds without a byte either way; null while it waits.")]
    rtt_us: Annotated[int | None, Field(description="Round-trip time in microseconds; null while it waits.")]

    @classmethod
    def of(cls, one: Client | Waiter, roster: Roster) -> ConnectionShape | None:
        """None if it has just ended."""
        row = cls.row(one, roster)
        return None if row is None else cls.model_validate_json(row)

    @classmethod
    def row(cls, one: Client | Waiter, roster: Roster, now: Figures | None = None) -> str | None:
        """As JSON, for lists of thousands: the head is serialised once. None if the connection has just ended.

        Without ``now`` the kernel is asked for the figures.
        """
        try:
            if not one.head:
                one.head = ConnectionHead.of_client(one, roster).model_dump_json()[:-1]
            if isinstance(one, Waiter):
                return (
                    f'{one.head},"state":"waiting","bytes_in":{one.unread},"bytes_out":0,"unread":{one.unread},'
                    f'"idle":null,"rtt_us":null}}'
                )
            now = now or one.figures()
        except OSError:
            return None
        traffic = one.final or now.traffic
        return (
            f'{one.head},"state":"{"peer-closed" if now.peer_closed else "open"}","bytes_in":{traffic.bytes_in},'
            f'"bytes_out":{traffic.bytes_out},"unread":{now.unread},"idle":{now.idle},"rtt_us":{now.rtt_us}}}'
        )


class Connections(BaseModel):
    items: list[ConnectionShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]
    missing: Annotated[list[str], Field(description="Nodes of a fleet that did not answer in time.")] = []
