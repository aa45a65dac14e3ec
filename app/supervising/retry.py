"""The next try of a server that ended by itself: it waits for its time, and then for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.clock import Clock
from app.loop.command_lock import CommandLock
from app.supervising.backoff import Backoff


class Retry:
    """At most one try is pending. ``again`` is called when it is due, with the lock held."""

    def __init__(self, name: str, clock: Clock, lock: CommandLock, again: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._clock = clock
        self._lock = lock
        self._again = again
        self._backoff = Backoff()
        self._pending: asyncio.Task[None] | None = None

    def schedule(self, lasted: float) -> float | None:
        """Have a try after a run of this many seconds; returns the delay in seconds, None if no try is worth it."""
        delay = self._backoff.next_delay(self._clock.now(), lasted)
        if delay is not None:
            self._have(delay)
        return delay

    def schedule_patiently(self) -> None:
        """Have a try after one that another's doing hindered."""
        self._have(self._backoff.patient_delay())

    async def cancel(self) -> None:
        """Nothing is pending when this returns."""
        pending, self._pending = self._pending, None
        if pending is not None and pending is not asyncio.current_task():
            pending.cancel()
            await asyncio.wait({pending})

    def reset(self) -> None:
        """A user started or stopped the server: earlier failures no longer count."""
        self._backoff.forget()

    @property
    def limit(self) -> tuple[int, float]:
        """How many restarts within how many seconds are too many for another try."""
        return self._backoff.most, self._backoff.window

    def _have(self, delay: float) -> None:
        self._pending = asyncio.create_task(self._wait(delay), name=f"retry:{self._name}")

    async def _wait(self, delay: float) -> None:
        await self._clock.sleep(delay)
        async with self._lock.hold():
            self._pending = None
            await self._again()
