"""What runs at this moment, and where: the tasks of the loop, and the threads of servers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from app.loop.ownership import owner_of
from app.loop.stacks import MOST_FRAMES, Place, frames, place_of, stack_of
from servers import Variant, _connection, _selector, _witness


@dataclass(frozen=True)
class Running:
    """A task, or a thread in the place of the task that waits for it; ``work`` names the function."""

    name: str
    server: str | None
    work: asyncio.Task[Any] | threading.Thread

    @property
    def coroutine(self) -> str:
        if isinstance(self.work, threading.Thread):
            stack = self.stack()
            return stack[0].function if stack else ""
        return getattr(self.work.get_coro(), "__qualname__", "")

    def stack(self) -> list[Place]:
        """The innermost call last."""
        if isinstance(self.work, threading.Thread):
            places = stack_of(frames().get(self.work.ident or 0))
            return [place for place in places if not _is_machinery(place.file)]
        return _stack_of_task(self.work)


_APP = str(Path(__file__).parent.parent)
_MACHINERY = {threading.__file__, _connection.__file__, _selector.__file__, _witness.__file__}


def _is_machinery(file: str) -> bool:
    """Whether this carries a variant's code and is none of it."""
    return file in _MACHINERY or file.startswith(_APP)


class Server(Protocol):
    """A server, as seen from here."""

    @property
    def name(self) -> str: ...

    @property
    def variant(self) -> Variant: ...

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that run for it, its own first."""

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Likewise."""


def running(servers: Iterable[Server], of: str | None = None) -> list[Running]:
    """In the order of their names; only those of one server where one is named."""
    threads = {server.name: server.threads for server in servers}
    found = []
    for task in asyncio.all_tasks():
        owner = owner_of(task)
        server = owner.name if owner else None
        if of is not None and server != of:
            continue
        name = task.get_name()
        if server is not None and name == f"server:{server}" and threads.get(server):
            own, *others = threads[server]
            found.append(Running(name, server, own))
            found += [Running(f"{name}/{thread.name}", server, thread) for thread in others]
        else:
            found.append(Running(name, server, task))
    return sorted(found, key=lambda one: one.name)


MOST_LOOKED_AT = 2000


@dataclass(frozen=True)
class Line:
    """A line of a variant's file at which some of a server's tasks or threads are now."""

    number: int
    function: str
    tasks: int
    threads: int


@dataclass(frozen=True)
class Lines:
    """Of ``of`` tasks and threads, ``seen`` were looked at."""

    lines: list[Line]
    seen: int
    of: int


def current_lines(server: Server) -> Lines:
    """Where in its variant's file a server is: the innermost call there of each of its tasks, or of its threads.

    Of very many, some are looked at, evenly spread, so that the loop does not stand still for it.
    """
    file, threads = str(server.variant.path), server.threads
    found: Counter[tuple[int, str, bool]] = Counter()
    tasks = server.tasks if server.variant.runs_on == "loop" else server.tasks[1:]  # the first waits for its thread
    of = len(tasks) + len(threads)
    step = max(1, -(-of // MOST_LOOKED_AT))
    looked_at = 0
    now = frames() if threads else {}
    for thread in threads[::step]:
        looked_at += 1
        frame = now.get(thread.ident or 0)
        while frame is not None and frame.f_code.co_filename != file:
            frame = frame.f_back
        if frame is not None:
            found[frame.f_lineno or 0, frame.f_code.co_name, True] += 1
    for task in tasks[::step]:
        looked_at += 1
        own = [frame for frame in _awaited(task) if frame.f_code.co_filename == file]
        if own:
            found[own[-1].f_lineno or 0, own[-1].f_code.co_name, False] += 1
    lines = [
        Line(number, function, 0 if threaded else count, count if threaded else 0)
        for (number, function, threaded), count in sorted(found.items())
    ]
    return Lines(lines, looked_at, of)


def _stack_of_task(task: asyncio.Task[Any]) -> list[Place]:
    return [place_of(frame) for frame in _awaited(task)]


def _awaited(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Through everything it awaits, the innermost last; ``Task.get_stack`` ends at the first coroutine."""
    awaited: Any = task.get_coro()
    for _ in range(MOST_FRAMES):
        frame: FrameType | None = None
        for kind in ("cr", "gi", "ag"):
            frame = frame or getattr(awaited, f"{kind}_frame", None)
        if frame is None:
            return
        yield frame
        awaited = next(
            (inner for of in ("cr_await", "gi_yieldfrom", "ag_await") if (inner := getattr(awaited, of, None))), None
        )
