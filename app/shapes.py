"""The JSON in which the API and the feed speak of things."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from app import kernel
from app.connections import Traffic
from app.exceptions import Caught
from app.journal import Entry
from app.lifecycle import State
from app.listening import show
from app.roster import Client, Roster, Waiter
from app.sampler import SPAN, Place, Sampler
from app.server import Server
from app.spec import ServerSpec
from app.tasks import Running
from servers import Variant


class Problem(BaseModel):
    """A refusal (RFC 9457). `type` ends in its name and is the address of its description."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["/problems/port-taken"])]
    title: str
    status: int
    detail: str


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


class ConnectionCounts(BaseModel):
    open: int
    total: Annotated[int, Field(description="Accepted so far, over all runs.")]
    waiting: Annotated[int, Field(description="Connected by the kernel, not accepted yet: the accept queue.")]
    peak: Annotated[int, Field(description="Most open at once.")]
    turned_away: Annotated[int, Field(description="Closed at once: too many already, or no descriptor left.")]


class ExitShape(BaseModel):
    at: datetime
    reason: Literal["stopped", "returned", "raised", "abandoned"]
    message: str


class ServerShape(BaseModel):
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
    connections: ConnectionCounts
    bytes_in: Annotated[int, Field(description="From clients, over all runs.")]
    bytes_out: int
    exceptions: int
    loop_share: Annotated[float | None, Field(description="Share of the event loop, 0 to 1; null: not measured.")]
    cpu_seconds: Annotated[float | None, Field(description="Of its own threads; null for one that runs on the loop.")]
    exit: Annotated[ExitShape | None, Field(description="How its latest run ended.")]
    spec: ServerSpec

    @classmethod
    def of(cls, server: Server, traffic: Traffic | None = None) -> ServerShape:
        """``traffic`` spares asking the kernel about each of the server's connections."""
        tally, spec = server.tally, server.spec
        traffic = traffic or server.traffic
        # Built without validation: every value is our own, and a list may hold a thousand of them.
        return cls.model_construct(
            name=server.name,
            variant=spec.variant,
            host=spec.host,
            port=spec.port,
            state=server.state,
            desired=server.desired,
            since=server.since,
            runs_on=server.variant.runs_on,
            task=server.task,
            restarts=server.restarts,
            connections=ConnectionCounts.model_construct(
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
            exit=ExitShape.model_construct(**vars(server.exit)) if server.exit else None,
            spec=spec,
        )


class Variants(BaseModel):
    items: list[VariantShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]


class Servers(BaseModel):
    items: list[ServerShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]


class ConnectionShape(BaseModel):
    id: str
    server: str
    peer: Annotated[str, Field(examples=["127.0.0.1:51312"])]
    local: str
    state: Annotated[
        Literal["open", "waiting", "peer-closed"],
        Field(description="waiting: in the accept queue; peer-closed: the client has closed, the server has not yet."),
    ]
    since: Annotated[datetime, Field(description="When it was accepted; of one that waits, when it was first seen.")]
    bytes_in: Annotated[int, Field(description="From the client.")]
    bytes_out: int
    unread: Annotated[int, Field(description="Bytes that came and that the server has not read.")]
    idle: Annotated[float | None, Field(description="Seconds without a byte either way; null while it waits.")]
    rtt_us: Annotated[int | None, Field(description="Round-trip time in microseconds; null while it waits.")]

    @classmethod
    def of(cls, one: Client | Waiter, roster: Roster) -> ConnectionShape | None:
        """None if it has just ended."""
        if isinstance(one, Waiter):
            return cls.model_construct(
                id=roster.id(one.number),
                server=one.server,
                peer=show(*one.address),
                local=show(*one.local),
                state="waiting",
                since=datetime.fromtimestamp(one.since, UTC),
                bytes_in=one.unread,
                bytes_out=0,
                unread=one.unread,
                idle=None,
                rtt_us=None,
            )
        try:
            figures = kernel.figures(one.connection)
            local = one.connection.getsockname()
        except OSError:
            return None
        traffic = one.final or figures.traffic
        return cls.model_construct(
            id=roster.id(one.number),
            server=one.server,
            peer=show(*one.address[:2]),
            local=show(*local[:2]),
            state="peer-closed" if figures.peer_closed else "open",
            since=datetime.fromtimestamp(one.since, UTC),
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            unread=figures.unread,
            idle=figures.idle,
            rtt_us=figures.rtt_us,
        )

    LASTING: ClassVar = {"id", "server", "peer", "local", "since"}

    @classmethod
    def changing_json(cls, client: Client) -> str:
        """The fields that are not ``LASTING``, without the braces, as of the latest look at the client.

        For those who show thousands of them a second.
        """
        traffic, peer_closed = kernel.reading(client.pulse)
        traffic = client.final or traffic
        return (
            f'"state":"{"peer-closed" if peer_closed else "open"}","bytes_in":{traffic.bytes_in},'
            f'"bytes_out":{traffic.bytes_out},"unread":{client.unread},"idle":{client.idle},"rtt_us":{client.rtt_us}'
        )


class Connections(BaseModel):
    items: list[ConnectionShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]


class ExceptionShape(BaseModel):
    """Equal exceptions of one run of a server: how many, and one of the latest in full."""

    id: str
    at: Annotated[datetime, Field(description="The latest time.")]
    first_at: datetime
    count: int
    server: str
    variant: str
    connection: Annotated[str | None, Field(description="The id of the connection that was being served.")]
    peer: str | None
    type: Annotated[str, Field(examples=["RuntimeError"])]
    message: str
    traceback: str
    input: Annotated[
        str | None,
        Field(description="The last bytes that the connection sent, as Python writes them.", examples=["b'boom\n'"]),
    ]
    fatal: Annotated[bool, Field(description="The server died of it.")]

    @classmethod
    def of(cls, record: Caught) -> ExceptionShape:
        details = record.details
        return cls.model_construct(
            id=str(record.id),
            at=record.at,
            first_at=record.first_at,
            count=record.count,
            server=record.server,
            variant=record.variant,
            connection=details.connection,
            peer=details.peer,
            type=details.type,
            message=details.message,
            traceback=details.traceback,
            input=None if details.input is None else repr(details.input),
            fatal=record.fatal,
        )


class Exceptions(BaseModel):
    items: list[ExceptionShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what came before; null at the end.")]


class EntryShape(BaseModel):
    id: str
    at: datetime
    server: str
    what: str

    @classmethod
    def of(cls, entry: Entry) -> EntryShape:
        return cls.model_construct(id=str(entry.id), at=entry.at, server=entry.server, what=entry.what)


class Entries(BaseModel):
    items: list[EntryShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what came before; null at the end.")]


class LagShape(BaseModel):
    """How late the loop came to what was ready, in ms."""

    p50: float
    p99: float
    max: float


class PlaceShape(BaseModel):
    file: str
    line: int
    function: str
    code: Annotated[str, Field(description="The line's text.")]

    @classmethod
    def of(cls, place: Place) -> PlaceShape:
        return cls.model_construct(file=place.file, line=place.line, function=place.function, code=place.code)


class StallShape(BaseModel):
    at: datetime
    seconds: Annotated[float, Field(description="How long the loop did not turn; so far, if it is not over.")]
    over: bool
    server: Annotated[str | None, Field(description="Whose turn it was; null: the app's.")]
    stack: Annotated[list[PlaceShape], Field(description="What it was doing, the innermost call last.")]


class LoopShape(BaseModel):
    seconds: Annotated[float, Field(description="How far lag and shares look back; the latest weighs most in a share.")]
    lag_ms: LagShape
    share: Annotated[
        dict[str, float], Field(description="Of the loop's time, by server, `app` and `idle`; together they make 1.")
    ]
    threads: Annotated[dict[str, float], Field(description="Of one processor, by server that runs in threads.")]
    stalled: Annotated[int, Field(description="Stalls since the app started; `stalls` has the latest of them.")]
    stalls: Annotated[list[StallShape], Field(description="When the loop did not turn for 100 ms, the newest first.")]

    @classmethod
    def of(cls, sampler: Sampler, servers: Iterable[Server]) -> LoopShape:
        lag = sampler.lag()
        shares = sampler.shares()
        at_rest = {server.name: 0.0 for server in servers if server.task and server.variant.runs_on == "loop"}
        return cls.model_construct(
            seconds=SPAN,
            lag_ms=LagShape.model_construct(p50=round(lag.p50, 3), p99=round(lag.p99, 3), max=round(lag.max, 3)),
            share={name: round(share, 4) for name, share in (at_rest | shares).items()},
            threads={name: round(share, 4) for name, share in sampler.thread_shares().items()},
            stalled=sampler.stalled,
            stalls=[
                StallShape.model_construct(
                    at=stall.at,
                    seconds=round(stall.seconds, 3),
                    over=stall.over,
                    server=stall.server,
                    stack=[PlaceShape.of(place) for place in stall.stack],
                )
                for stall in reversed(sampler.stalls)
            ],
        )


class LoopNow(BaseModel):
    """The loop in short, as the feed tells it: shares that are not zero, and how many stalls there were."""

    lag_ms: LagShape
    share: dict[str, float]
    threads: dict[str, float]
    stalled: int

    @classmethod
    def of(cls, sampler: Sampler) -> LoopNow:
        whole = LoopShape.of(sampler, ())
        return cls.model_construct(
            lag_ms=whole.lag_ms,
            share={name: share for name, share in whole.share.items() if share},
            threads={name: share for name, share in whole.threads.items() if share},
            stalled=whole.stalled,
        )


class TaskShape(BaseModel):
    name: str
    server: Annotated[str | None, Field(description="Whose it is; null: the app's.")]
    coroutine: str
    thread: Annotated[bool, Field(description="It waits for a thread, and the stack is that thread's.")]
    stack: Annotated[list[PlaceShape], Field(description="Where it is, the innermost call last.")]

    @classmethod
    def of(cls, one: Running) -> TaskShape:
        return cls.model_construct(
            name=one.name,
            server=one.server,
            coroutine=one.coroutine,
            thread=isinstance(one.work, threading.Thread),
            stack=[PlaceShape.of(place) for place in one.stack()],
        )


class Tasks(BaseModel):
    items: list[TaskShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what follows; null at the end.")]


class Health(BaseModel):
    status: str


Responses = dict[int | str, dict[str, Any]]
