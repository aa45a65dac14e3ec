"""What runs at this moment, and where: the tasks of the loop, and the threads of servers."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from app import adoption, run, worker
from app.adoption import owner_of
from app.sampler import MOST_FRAMES, Place, place_of, stack_of
from app.server import Server
from servers import _witness


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
            places = stack_of(sys._current_frames().get(self.work.ident or 0))
            return [place for place in places if place.file not in _MACHINERY]
        return _stack_of_task(self.work)


_MACHINERY = {module.__file__ for module in (threading, adoption, run, worker, _witness)}


def running(servers: Iterable[Server]) -> list[Running]:
    """In the order of their names."""
    threads = {server.name: server.threads for server in servers}
    found = []
    for task in asyncio.all_tasks():
        name, owner = task.get_name(), owner_of(task)
        server = owner.name if owner else None
        if server is not None and name == f"server:{server}" and threads.get(server):
            own, *others = threads[server]
            found.append(Running(name, server, own))
            found += [Running(f"{name}/{thread.name}", server, thread) for thread in others]
        else:
            found.append(Running(name, server, task))
    return sorted(found, key=lambda one: one.name)


def _stack_of_task(task: asyncio.Task[Any]) -> list[Place]:
    """Through everything it awaits; ``Task.get_stack`` ends at the first coroutine."""
    places: list[Place] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(places) < MOST_FRAMES:
        frame: FrameType | None = None
        for kind in ("cr", "gi", "ag"):
            frame = frame or getattr(awaited, f"{kind}_frame", None)
        if frame is None:
            break
        places.append(place_of(frame))
        awaited = next(
            (inner for of in ("cr_await", "gi_yieldfrom", "ag_await") if (inner := getattr(awaited, of, None))), None
        )
    return places
