"""The loop: its lag, shares, stalls, and what runs on it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from app.loop.sampler import SPAN, Sampler
from app.loop.shares import Lag
from app.loop.stacks import Place
from app.loop.tasks import Lines, Running
from app.supervising.server import Server


class LagShape(BaseModel):
    """How late the loop came to what was ready, in ms."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, lag: Lag) -> LagShape:
        return cls.model_construct(p50=round(lag.p50, 3), p99=round(lag.p99, 3), max=round(lag.max, 3))


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
    seconds: Annotated[float, Field(description="How long the loop did not turn.")]
    over: Annotated[bool, Field(description="Always true: while the loop stalls, it answers nobody.")]
    server: Annotated[str | None, Field(description="Whose turn it was; null: the app's.")]
    stack: Annotated[list[PlaceShape], Field(description="What it was doing, the innermost call last.")]


class LoopShape(BaseModel):
    seconds: Annotated[float, Field(description="How far lag and shares look back; the latest weighs most in a share.")]
    lag_ms: LagShape
    share: Annotated[
        dict[str, float],
        Field(description="Of the loop's time, by server, `app` and `idle`; they make 1. Empty: not measured."),
    ]
    threads: Annotated[dict[str, float], Field(description="Of one processor, by server that runs in threads.")]
    stalled: Annotated[int, Field(description="Stalls since the app started; `stalls` has the latest of them.")]
    stalls: Annotated[list[StallShape], Field(description="When the loop did not turn for 100 ms, the newest first.")]

    @classmethod
    def of(cls, sampler: Sampler, servers: Iterable[Server]) -> LoopShape:
        shares = sampler.shares()
        at_rest = {server.name: 0.0 for server in servers if server.task and server.variant.runs_on == "loop"}
        return cls.model_construct(
            seconds=SPAN,
            lag_ms=LagShape.of(sampler.lag()),
            share=_rounded(at_rest | shares if shares else {}),
            threads=_rounded(sampler.thread_shares()),
            stalled=sampler.stalled,
            stalls=[
                StallShape.model_construct(
                    at=stall.at,
                    seconds=round(stall.seconds, 3),
                    over=True,
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
        shares, threads = _rounded(sampler.shares()), _rounded(sampler.thread_shares())
        return cls.model_construct(
            lag_ms=LagShape.of(sampler.lag()),
            share={name: share for name, share in shares.items() if share},
            threads={name: share for name, share in threads.items() if share},
            stalled=sampler.stalled,
        )


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}


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


class LineShape(BaseModel):
    line: int
    function: str
    tasks: Annotated[int, Field(description="How many are suspended there.")]
    threads: Annotated[int, Field(description="How many are in it.")]


class LinesShape(BaseModel):
    """Where in its variant's file a server is: the innermost call there of each of its tasks, or of its threads."""

    items: list[LineShape]
    seen: Annotated[int, Field(description="How many tasks or threads were looked at; of very many, some.")]
    of: Annotated[int, Field(description="How many there are.")]

    @classmethod
    def of_lines(cls, found: Lines) -> LinesShape:
        return cls.model_construct(
            items=[
                LineShape.model_construct(line=one.number, function=one.function, tasks=one.tasks, threads=one.threads)
                for one in found.lines
            ],
            seen=found.seen,
            of=found.of,
        )
