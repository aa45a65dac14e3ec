"""One command at a time on one server; a command that is urgent may cut short what the one before it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


class CommandLock:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._hurry = asyncio.Event()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for a turn and have it; first come, first served."""
        async with self._lock:
            yield

    def cut_short(self) -> None:
        """End the waiting of the command that has the lock now, if it waits in ``unless_cut_short``."""
        self._hurry.set()

    async def unless_cut_short(self, wanted: Awaitable[T], seconds: float | None = None) -> T | None:
        """What was wanted; None if it was cut short or took longer than that, and then it is cancelled."""
        self._hurry.clear()
        work = asyncio.ensure_future(wanted)
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait({work, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            work.cancel()
            hurry.cancel()
            await asyncio.wait({work, hurry})
