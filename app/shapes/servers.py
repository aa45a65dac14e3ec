"""Variants and servers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field

from app.kernel.traffic import Traffic
from app.supervising.lifecycle import Exit, ExitReason, State
from app.supervising.server import Server
from app.supervising.spec import ServerSpec
from servers import Variant


class VariantShape(BaseModel):
    name: str
    step: Annotated[int | None, Field(description="Its place in the tutorial; null for those beyond.")]
    title: str
    lesson: str
    runs_on: Literal["loop", "thread"]
    clients: Annotated[str, Field(description="How many it serves, and when.")]
    answers: Annotated[str, Field(description="What comes back.")]

    @classmethod
    def of(cls, variant: Variant) -> VariantShape:
        return cls(
            name=variant.name,
            step=variant.step,
            title=variant.title,
            lesson=variant.lesson,
            runs_on=variant.runs_on,
            clients=variant.wire.clients,
            answers=variant.wire.answers,
        )


class Variants(BaseModel):
    items: list[VariantShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]


class ConnectionCounts(BaseModel):
    open: int
    total: Annotated[int, Field(description="Accepted so far, over all runs.")]
    waiting: Annotated[int, Field(description="Connected by the kernel, not accepted yet: the accept queue.")]
    peak: Annotated[int, Field(description="Most open at once.")]
    turned_away: Annotated[int, Field(description="Closed at once: too many already, or no descriptor left.")]


class ExitShape(BaseModel):
    at: datetime
    reason: ExitReason
    message: str

    @classmethod
    def of(cls, ended: Exit) -> ExitShape:
        return cls(at=ended.at, reason=ended.reason, message=ended.message)


class ServerHead(BaseModel):
    """What changes when the server's state or its spec does."""

    model_config = ConfigDict(defer_build=True)

    name: str
    variant: str
    host: str
    port: int
    state: State
    desired: Literal["running", "stopped"]
    since: Annotated[datetime, Field(description="When it came into this state.")]
    runs_on: Literal["loop", "thread"]
    task: Annotated[str | None, Field(description="Its asyncio task, while it runs.")]
    restarts: Annotated[int, Field(description="Made by the restart policy.")]
    exit: Annotated[ExitShape | None, Field(description="How its latest run ended.")]
    spec: ServerSpec
    node: Annotated[str | None, Field(description="Of a fleet, the node that has it; null: none, now.")] = None
    on: Annotated[str | None, Field(description="Of a fleet, the node it is pinned to; null: it floats.")] = None
    epoch: Annotated[int | None, Field(description="Of its node's claim: it grows with each; null if pinned.")] = None

    @classmethod
    def of_server(cls, server: Server) -> ServerHead:
        spec = server.spec
        return ServerHead(
            name=server.name,
            variant=spec.variant,
            host=server.host,
            port=spec.port,
            state=server.state,
            desired=server.desired,
            since=server.since,
            runs_on=server.variant.runs_on,
            task=server.task,
            restarts=server.restarts,
            exit=ExitShape.of(server.exit) if server.exit else None,
            spec=spec,
            node=server.node or None,
            on=spec.on,
            epoch=server.epoch,
        )


class ServerShape(ServerHead):
    connections: ConnectionCounts
    bytes_in: Annotated[int, Field(description="From clients, over all runs.")]
    bytes_out: int
    exceptions: int
    loop_share: Annotated[float | None, Field(description="Share of the event loop, 0 to 1; null: not measured.")]
    cpu_seconds: Annotated[float | None, Field(description="Of its own threads; null for one that runs on the loop.")]

    @classmethod
    def of(cls, server: Server) -> ServerShape:
        tally, traffic = server.tally, server.traffic
        return cls(
            **vars(ServerHead.of_server(server)),
            connections=ConnectionCounts(
                open=tally.open,
                total=tally.total,
                waiting=server.waiting,
                peak=tally.peak,
                turned_away=tally.turned_away,
            ),
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            exceptions=server.exceptions,
            loop_share=None if (share := server.loop_share) is None else round(share, 4),
            cpu_seconds=None if (cpu := server.cpu_seconds) is None else round(cpu, 4),
        )

    @classmethod
    def row(cls, server: Server, traffic: Traffic | None = None) -> str:
        """The JSON of ``of``, for lists of thousands: the head is serialised once, until it changes.

        ``traffic`` spares asking the kernel about each of the server's connections.
        """
        settled = (
            server.spec,
            server.state,
            server.desired,
            server.since,
            server.task,
            server.restarts,
            server.exit,
            server.epoch,
        )
        known, head = _HEADS.get(server, (None, ""))
        if known != settled:
            head = ServerHead.of_server(server).model_dump_json()[:-1]
            _HEADS[server] = settled, head
        traffic = traffic or server.traffic
        tally, share, cpu = server.tally, server.loop_share, server.cpu_seconds
        return (
            f'{head},"connections":{{"open":{tally.open},"total":{tally.total},"waiting":{server.waiting},'
            f'"peak":{tally.peak},"turned_away":{tally.turned_away}}},"bytes_in":{traffic.bytes_in},'
            f'"bytes_out":{traffic.bytes_out},"exceptions":{server.exceptions},'
            f'"loop_share":{"null" if share is None else round(share, 4)},'
            f'"cpu_seconds":{"null" if cpu is None else round(cpu, 4)}}}'
        )


_HEADS: WeakKeyDictionary[Server, tuple[tuple[object, ...], str]] = WeakKeyDictionary()
"""Of each server, what ``ServerShape.row`` has serialised, and of which values."""


class Servers(BaseModel):
    items: list[ServerShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]
    missing: Annotated[list[str], Field(description="Nodes of a fleet that did not answer in time.")] = []
