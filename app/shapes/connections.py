"""Connections: of clients inside, and of clients that wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from app.addresses import format_address
from app.connections.client import Client, ConnectionState, Snapshot, Waiter
from app.kernel.tcp_info import Figures


class ConnectionShape(BaseModel):
    id: str
    server: str
    peer: Annotated[str, Field(examples=["127.0.0.1:51312"])]
    local: str
    state: Annotated[
        ConnectionState,
        Field(description="waiting: in the accept queue; peer-closed: the client has closed, the server has not yet."),
    ]
    since: Annotated[datetime, Field(description="When it was accepted; of one that waits, when it was first seen.")]
    bytes_in: Annotated[int, Field(description="From the client.")]
    bytes_out: int
    unread: Annotated[int, Field(description="Bytes that came and that the server has not read.")]
    idle: Annotated[float | None, Field(description="Seconds without a byte either way; null while it waits.")]
    rtt_us: Annotated[int | None, Field(description="Round-trip time in microseconds; null while it waits.")]

    @classmethod
    def of(cls, one: Snapshot) -> ConnectionShape:
        return cls(
            id=one.id,
            server=one.server,
            peer=format_address(*one.peer),
            local=format_address(*one.local),
            state=one.state,
            since=datetime.fromtimestamp(one.since, UTC),
            bytes_in=one.traffic.bytes_in,
            bytes_out=one.traffic.bytes_out,
            unread=one.unread,
            idle=one.idle,
            rtt_us=one.rtt_us,
        )

    LASTING: ClassVar = {"id", "server", "peer", "local", "since"}

    @classmethod
    def row(cls, one: Client | Waiter, id: str, now: Figures | None = None) -> str | None:
        """The JSON of ``of``, for lists of thousands: what is ``LASTING`` is serialised once.

        Without ``now`` the kernel is asked for the figures. None if it has just ended.
        """
        if isinstance(one, Waiter):
            return cls.of(one.snapshot(id)).model_dump_json()
        if not one.head and (snapshot := one.snapshot(id)):
            one.head = cls.of(snapshot).model_dump_json(include=cls.LASTING)[:-1]
        now = now or one.figures()
        if now is None or not one.head:
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
