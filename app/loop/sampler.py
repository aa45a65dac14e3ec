"""Which server has the loop, and how long others wait for it: seen from a thread of its own, out of any message's path.

A hundred times a second, less often while nothing happens, the thread looks at what the loop's thread is doing. Every
callback and every step of a task runs in a context, and the context says whose it is (``adoption``). Two things would
distort the picture. The thread gets to look only when the interpreter lets it, which a busy loop does mostly around
system calls: so how busy the loop is at all comes from its processor clock (pthread_getcpuclockid(3)), and the looks
only divide that time among servers. And a loop that never rests calls ``select`` all the time without waiting in it:
that is no idleness, and is booked to the callback that is next.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.loop.ownership import OWNER, owner_of
from app.loop.shares import APP, IDLE, NOT_SERVERS, Lag, Look, divide, lag_of
from app.loop.stacks import Place, frames, stack_of
from app.loop.worker import CpuClock

log = logging.getLogger("echodeck.sampler")

SPAN = 5.0
"""Seconds that shares and percentiles look back."""

EVERY_BUSY, EVERY_IDLE = 0.01, 0.025
SHARES_EVERY = 0.05
PING_BUSY, PING_IDLE = 0.02, 0.1
BUSY = 0.05
"""Share of the time from which on the loop is looked at more often."""

THREADS_EVERY = 0.5
STALL = 0.1
"""Seconds after which a loop that has not turned counts as standing still."""

MOST_STALLS = 50

_RUN = asyncio.Handle._run.__code__
_SELECT = selectors.DefaultSelector.select.__code__


@dataclass(slots=True)
class Stall:
    """The loop stood still for ``seconds`` (so far, while it is not ``over``); ``server`` had it, None for the app."""

    at: datetime
    seconds: float
    server: str | None
    stack: list[Place]
    over: bool = False


@dataclass
class _Seen:
    """In the last ``SPAN`` seconds; each thing begins with its time."""

    looks: deque[Look] = field(default_factory=deque)
    lags: deque[tuple[float, float]] = field(default_factory=deque)
    threads: deque[tuple[float, dict[str, float]]] = field(default_factory=deque)

    def forget(self, before: float) -> None:
        for seen in (self.looks, self.lags, self.threads):
            while len(seen) > 1 and seen[0][0] < before:
                seen.popleft()


class Sampler:
    """Start it on the loop that it is to watch. An error of its own ends it, with a line in the log, and nothing else.

    ``on_lag`` is told every lag in seconds, on the loop.
    """

    def __init__(self) -> None:
        self.stalls: deque[Stall] = deque(maxlen=MOST_STALLS)
        self.stalled = 0
        self.on_lag: Callable[[float], None] = lambda seconds: None
        self._seen = _Seen()
        self._shares: dict[str, float] = {}
        self._shares_at = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._pinged: float | None = None
        self._turned_at = 0.0
        self._busy_since: float | None = None

    def start(self, threads_cpu: Callable[[], dict[str, float]]) -> None:
        """``threads_cpu`` tells the processor time of servers' threads; it is called on the sampler's thread."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._clock = CpuClock()
        self._clock.begin()
        self._threads_cpu = threads_cpu
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        Context().run(self._thread.start)

    def stop(self) -> None:
        self._stopping = True
        if self._thread is not None:
            self._thread.join()

    # Reading, on the loop

    @property
    def works(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def shares(self) -> dict[str, float]:
        """Of the loop's time lately, by server, ``app`` and ``idle``; together they make 1."""
        now = time.monotonic()
        if now - self._shares_at >= SHARES_EVERY:
            self._shares, self._shares_at = divide(list(self._seen.looks), now), now
        return self._shares

    def share_of(self, server: str) -> float | None:
        """None if nothing is measured."""
        return self.shares().get(server, 0.0) if self.works else None

    def thread_shares(self) -> dict[str, float]:
        """Of one processor, by server, for those that run in threads."""
        seen = list(self._seen.threads)
        if len(seen) < 2:
            return {}
        (began, before), (ended, now) = seen[0], seen[-1]
        return {
            server: min(1.0, max(0.0, seconds - before.get(server, 0.0)) / (ended - began))
            for server, seconds in now.items()
        }

    def lag(self) -> Lag:
        return lag_of([lag * 1000 for _, lag in list(self._seen.lags)])

    # On its thread

    def _watch(self) -> None:
        try:
            woke = threads_due = ping_due = time.monotonic()
            used, every = self._clock.seconds, EVERY_IDLE
            self._turned_at = woke
            while not self._stopping:
                time.sleep(every)
                slept, woke = woke, time.monotonic()
                before, used = used, self._clock.seconds
                kept_out = woke - slept > every + STALL
                if kept_out and used - before < (woke - slept) / 2:
                    self._busy_since = None
                    continue  # the whole process stood still: nothing can be said of the loop
                owner = self._owner_now()
                if owner == IDLE and not kept_out:
                    self._turned_at, self._busy_since = woke, None
                elif self._busy_since is None:
                    self._busy_since = slept if kept_out else (self._turned_at + woke) / 2
                busy = owner != IDLE or used - before > BUSY * (woke - slept)
                every = EVERY_BUSY if busy else EVERY_IDLE
                self._seen.looks.append(Look(woke, owner, woke - slept, used - before))
                if woke >= threads_due:
                    self._seen.threads.append((woke, self._threads_cpu()))
                    threads_due = woke + THREADS_EVERY
                self._seen.forget(woke - SPAN)
                if self._busy_since is not None and (self._pinged is not None or kept_out):
                    self._consider_stall(woke - self._busy_since)
                if self._pinged is None and (woke >= ping_due or (busy and woke >= ping_due - PING_IDLE + PING_BUSY)):
                    self._pinged = time.monotonic()
                    self._loop.call_soon_threadsafe(self._pong, self._pinged, context=Context())
                    ping_due = woke + PING_IDLE
        except RuntimeError:
            if not self._loop.is_closed():
                log.exception("the loop is no longer watched")
        except Exception:
            log.exception("the loop is no longer watched")

    def _pong(self, pinged: float) -> None:
        now = time.monotonic()
        lag, busy_since = now - pinged, self._busy_since
        self._pinged, self._turned_at, self._busy_since = None, now, None
        self._seen.lags.append((now, lag))
        self.on_lag(lag)
        if self.stalls and not self.stalls[-1].over:
            if busy_since is not None:
                self.stalls[-1].seconds = now - busy_since
            self.stalls[-1].over = True

    def _consider_stall(self, seconds: float) -> None:
        latest = self.stalls[-1] if self.stalls else None
        if latest is not None and not latest.over:
            latest.seconds = seconds
        elif seconds >= STALL:
            server = self._owner_now()
            stack = stack_of(frames().get(self._loop_thread))
            at = datetime.now(UTC)
            self.stalls.append(Stall(at, seconds, None if server in NOT_SERVERS else server, stack))
            self.stalled += 1

    def _owner_now(self) -> str:
        """Whose turn it is on the loop: a server's name, ``app`` or ``idle``."""
        frame = frames().get(self._loop_thread)
        handle: Any = None
        if frame is not None and frame.f_code is _SELECT:
            if frame.f_locals.get("timeout") != 0:
                return IDLE
            ready = getattr(self._loop, "_ready", None)
            handle = ready[0] if ready else None
            if handle is None:
                return IDLE
        while handle is None and frame is not None:
            if frame.f_code is _RUN:
                handle = frame.f_locals.get("self")
            frame = frame.f_back
        if handle is not None:
            owner = getattr(handle, "_context", {}).get(OWNER)
            return owner.name if owner is not None else APP
        # uvloop runs its callbacks without a Python frame; a task can still be asked for.
        task = asyncio.current_task(self._loop)
        if task is None:
            return IDLE
        owner = owner_of(task)
        return owner.name if owner is not None else APP
