"""Figures over time, of a server and of the loop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field

from app.history.series import LOOP, MINUTES, SECONDS, Every, SeriesBook
from app.supervising.server import Server

Values = list[float | None]


class _Steps(BaseModel):
    every: Annotated[float, Field(description="Seconds in a step.")]
    until: Annotated[datetime, Field(description="When the last step ended. The figures are the oldest first.")]
    bytes_in: Annotated[Values, Field(description="From clients, in the step; null where nothing was seen.")]
    bytes_out: Values
    open: Annotated[Values, Field(description="Clients inside; of a minute, the most.")]
    waiting: Annotated[Values, Field(description="Clients in the accept queue; of a minute, the most.")]
    exceptions: Annotated[Values, Field(description="Raised in the step.")]


class SeriesShape(_Steps):
    """Of a server, while it ran."""

    share: Annotated[Values, Field(description="Of the loop's time, or of one processor for a server in threads.")]

    @classmethod
    def of(cls, book: SeriesBook, server: Server, every: Every, most: int | None) -> Self:
        until, last = _last(book, every)
        columns: dict[str, Any] = {}
        columns |= book.of(server.name, server.serial).columns(every, last, most or _all(every))
        return cls.model_construct(every=float(every), until=until, **columns)


class LagSeries(BaseModel):
    """How late the loop came to what was ready, in ms: of the seconds up to each step, as in `GET /loop`; of a minute,
    the highest of p99 and max, and the mean of p50."""

    p50: Values
    p99: Values
    max: Values


class LoopSeriesShape(_Steps):
    """Of the loop; traffic, clients and exceptions are those of all servers together."""

    lag_ms: LagSeries
    share: Annotated[
        dict[str, Values],
        Field(description="Of the loop's time, by `app`, `idle`, and those servers that had most of it."),
    ]
    stalled: Annotated[Values, Field(description="Stalls in the step.")]

    @classmethod
    def of(cls, book: SeriesBook, servers: list[Server], every: Every, most: int | None) -> Self:
        until, last = _last(book, every)
        count = most or _all(every)
        columns: dict[str, Any] = {}
        columns |= book.of(*LOOP).columns(every, last, count)
        lag = LagSeries.model_construct(p50=columns.pop("p50"), p99=columns.pop("p99"), max=columns.pop("max"))
        share: dict[str, Values] = {"app": columns.pop("app"), "idle": columns.pop("idle")}
        length = len(share["app"])
        on_loop = {one.name: one.serial for one in servers if one.variant.runs_on == "loop"}
        for name in book.busiest(on_loop, every, last, count):
            values = book.of(name, on_loop[name]).columns(every, last, count)["share"][-length:]
            share[name] = [*[None] * (length - len(values)), *values]
        return cls.model_construct(every=float(every), until=until, lag_ms=lag, share=share, **columns)


def _all(every: Every) -> int:
    return SECONDS if every == 1 else MINUTES


def _last(book: SeriesBook, every: Every) -> tuple[datetime, int]:
    """When the last step that was looked at ended, and its number; of a recorder that is late, that of the clock."""
    book.catch_up()
    loop = book.of(*LOOP)
    over, seen = book.second // every - 1, (loop.seconds if every == 1 else loop.minutes).last
    last = seen if over - seen == 1 else over
    return datetime.fromtimestamp((last + 1) * every, UTC), last
