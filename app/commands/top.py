"""``echodeck top``: each server's share of the loop, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

import echodeck
from app.commands.clients import Interval
from app.console.figures import share, size
from app.console.live import View, keep_looking
from app.console.reach import Answer, Reach, asks
from app.console.tables import Line, height, print_answer, table


class Sort(StrEnum):
    LOOP = "loop"
    OPEN = "open"
    WAITING = "waiting"
    BYTES = "bytes"
    EXCEPTIONS = "exceptions"
    NAME = "name"


@dataclass
class Row:
    """A server; ``thread`` is its share of one processor if it runs in threads; rates are in bytes per second."""

    name: str
    state: str
    loop: float | None
    thread: float | None
    open: int
    waiting: int
    bytes_in: float
    bytes_out: float
    exceptions: int


KEYS: dict[Sort, Callable[[Row], Any]] = {
    Sort.LOOP: lambda row: -((row.loop or 0) + (row.thread or 0)),
    Sort.OPEN: lambda row: -row.open,
    Sort.WAITING: lambda row: -row.waiting,
    Sort.BYTES: lambda row: -(row.bytes_in + row.bytes_out),
    Sort.EXCEPTIONS: lambda row: -row.exceptions,
    Sort.NAME: lambda row: row.name,
}


@dataclass
class Look:
    at: datetime
    loop: dict[str, Any]
    rows: list[Row]


@asks
def top(
    reach: Reach,
    sort: Annotated[Sort, typer.Option(help="The order of the servers, the largest first.")] = Sort.LOOP,
    interval: Interval = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Measure one interval, print it and end.")] = False,
) -> None:
    """Show live the loop's shares and lag, and the traffic of each server. q ends it, s changes the order.

    LOOP is a server's share of the loop, THREAD its share of one processor, both of the last seconds; IN/s and OUT/s
    are bytes per second.
    """
    view = Top(sort)
    if not once:
        keep_looking(reach, view, interval)
        return
    view.look(reach.deck)
    time.sleep(interval)
    found = view.look(reach.deck)
    if reach.as_json:
        reach.answer_json(view.to_json(found))
    else:
        print_answer(view.to_lines(found))


class Top(View[Look]):
    whole = True

    def __init__(self, sort: Sort) -> None:
        self._sort = sort
        self._before: dict[str, tuple[int, int]] = {}
        self._looked = 0.0

    def look(self, deck: echodeck.Client) -> Look:
        servers, loop = deck.servers(), deck.loop()
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        before, self._before = self._before, {one.name: (one.bytes_in, one.bytes_out) for one in servers}
        rows = []
        for one in servers:
            bytes_in, bytes_out = before.get(one.name, (one.bytes_in, one.bytes_out))
            rows.append(
                Row(
                    name=one.name,
                    state=one.state,
                    loop=loop["share"].get(one.name),
                    thread=loop["threads"].get(one.name),
                    open=one.connections.open,
                    waiting=one.connections.waiting,
                    bytes_in=max(0, one.bytes_in - bytes_in) / passed,
                    bytes_out=max(0, one.bytes_out - bytes_out) / passed,
                    exceptions=one.exceptions,
                )
            )
        return Look(datetime.now(UTC), loop, rows)

    def to_json(self, found: Look) -> Answer:
        loop = found.loop
        return {
            "at": found.at.isoformat(),
            "lag_ms": loop["lag_ms"],
            "idle": loop["share"].get("idle"),
            "app": loop["share"].get("app"),
            "stalled": loop["stalled"],
            "servers": [
                {
                    "name": row.name,
                    "state": row.state,
                    "loop_share": row.loop,
                    "thread_share": row.thread,
                    "open": row.open,
                    "waiting": row.waiting,
                    "bytes_in_per_second": round(row.bytes_in, 1),
                    "bytes_out_per_second": round(row.bytes_out, 1),
                    "exceptions": row.exceptions,
                }
                for row in self._sorted(found.rows)
            ],
        }

    def to_lines(self, found: Look) -> list[Line]:
        rows = self._sorted(found.rows)
        most = max(1, height() - 7)
        below = f"by {self._sort}" + (f"; {len(rows) - most} more" if len(rows) > most else "")
        return [*map(Line, _head(found)), Line(""), *_table(rows[:most]), Line(below, "dim")]

    def key(self, pressed: str) -> bool:
        for one in pressed:
            if one == "s":
                sorts = list(Sort)
                self._sort = sorts[(sorts.index(self._sort) + 1) % len(sorts)]
        return super().key(pressed)

    def _sorted(self, rows: list[Row]) -> list[Row]:
        return sorted(rows, key=KEYS[self._sort])


def _head(found: Look) -> list[str]:
    loop, rows = found.loop, found.rows
    shares, lag = loop["share"], loop["lag_ms"]
    idle, app = shares.get("idle"), shares.get("app")  # none: not measured
    servers = max(0.0, sum(shares.values()) - idle - app) if shares else None
    running = sum(row.state == "running" for row in rows)
    return [
        f"{found.at.astimezone():%H:%M:%S}  {len(rows)} servers, {running} running  "
        f"{sum(row.open for row in rows)} open, {sum(row.waiting for row in rows)} waiting  "
        f"{sum(row.exceptions for row in rows)} exceptions",
        f"loop: servers {share(servers)}, app {share(app)}, idle {share(idle)}",
        f"lag: p50 {lag['p50']:.1f} ms, p99 {lag['p99']:.1f}, max {lag['max']:.1f}; stalls: {loop['stalled']}",
    ]


def _table(rows: list[Row]) -> list[Line]:
    return table(
        ("NAME", "STATE", "LOOP", "THREAD", "OPEN", "WAIT", "IN/s", "OUT/s", "EXC"),
        (
            (
                row.name,
                row.state,
                share(row.loop),
                share(row.thread),
                str(row.open),
                str(row.waiting),
                size(round(row.bytes_in)),
                size(round(row.bytes_out)),
                str(row.exceptions),
            )
            for row in rows
        ),
        right=frozenset({"LOOP", "THREAD", "OPEN", "WAIT", "IN/s", "OUT/s", "EXC"}),
        gives_way=("OUT/s", "STATE", "WAIT", "EXC"),
    )
