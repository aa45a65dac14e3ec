"""Which server has the loop, and the loop's lag and stalls: sampled by a signal, on the loop's own thread.

A timer of the kernel interrupts the thread 6 times a second while the loop is idle, 103 times while it is busy. The
signal's handler runs on that thread between two bytecodes, in the context of the callback that it interrupts, and the
context has the owner (``ownership``). No other thread's frames are read, which crashes some versions of Python
(python/cpython#111363), and nothing runs between two ticks.

Three things would distort the shares, and are corrected. Short callbacks are seldom sampled: the time that the loop was
busy comes from its thread's processor clock, too, and the samples divide it. A busy loop that never rests calls
``select`` all the time without waiting in it: that is no idleness, and belongs to the callback that is next. A thread
that was stopped, or had no processor, takes no signals: nothing is said of that time.

A tick that finds a callback asks for the loop's next turn: the time until then is the lag. If there is none for
``STALL`` seconds, that is a stall, and the handler itself takes the stack of the callback, once. It runs while the
thread blocks, too: the system call is interrupted, and tried again (PEP 475). Only a call that neither returns to
Python nor handles signals, as ``getaddrinfo``, delays it, until that call ends.

Python handles signals on the main thread only. Where the loop runs on another one, or the system has no such timer,
shares and stalls are not measured, and the lag is that of a timer of the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from types import CodeType, FrameType
from typing import Any

from app.loop.ownership import OWNER
from app.loop.shares import APP, IDLE, NOT_SERVERS, Lag, Sample, divide, lag_of
from app.loop.stacks import Place, Position, place_at, positions_of
from app.loop.thread_timer import ThreadTimer, Unsupported

log = logging.getLogger("echodeck.sampler")

SPAN = 5.0
"""Seconds that shares and percentiles look back."""

EVERY_BUSY, EVERY_IDLE = 0.0097, 0.177
"""Seconds between two ticks: no multiples of what callbacks sleep, which would always be found at the same place."""

BUSY = 0.1
"""Share of the processor from which on a tick comes every ``EVERY_BUSY``; where it is less, they come as seldom."""

SHARES_EVERY = 0.05
SECOND = 1.0
STALL = 0.1
"""Seconds after which a loop that has not turned counts as stalled."""

MOST_STALLS = 50
MOST_SAMPLES = 1200

_RUN = asyncio.Handle._run.__code__
_RUN_ONCE = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # not declared
_DEPTH = 6
"""Calls that the loop's own code is deep at most, below ``_RUN_ONCE``."""


@dataclass(slots=True)
class Stall:
    """The loop did not turn for ``seconds``; ``server`` had it, None for the app."""

    at: datetime
    seconds: float
    server: str | None
    stack: list[Place]


class Sampler:
    """Start it on the loop that it is to observe. An error of its own ends it, with a line in the log; nothing else.

    ``on_lag`` gets every lag in seconds, on the loop, within ``SECOND`` seconds.
    """

    def __init__(self) -> None:
        self.stalls: deque[Stall] = deque(maxlen=MOST_STALLS)
        self.stalled = 0
        self.on_lag: Callable[[float], None] = lambda seconds: None
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._lags: deque[tuple[float, float]] = deque(maxlen=MOST_SAMPLES)
        self._new_lags: list[float] = []
        self._threads: deque[tuple[float, dict[str, float]]] = deque(maxlen=int(SPAN / SECOND) + 1)
        self._shares: dict[str, float] = {}
        self._shares_at = 0.0
        self._timer: ThreadTimer | None = None
        self._next_second: asyncio.TimerHandle | None = None
        self._runner: CodeType | None = None
        # Of the ticks; times of the monotonic clock, in seconds.
        self._at = self._used = self._usage = 0.0
        self._every = self._due = 0  # nanoseconds: kept up exactly, whatever the number of ticks
        # Of the turn in which a tick found a callback, and which has not ended.
        self._asked: int | None = None
        self._began: float | None = None
        self._blocked: tuple[datetime, str, list[Position]] | None = None
        self._turned_at = 0.0

    def start(self, threads_cpu: Callable[[], dict[str, float]]) -> None:
        """``threads_cpu`` returns the processor time of servers' threads, by server."""
        self._loop = asyncio.get_running_loop()
        self._threads_cpu = threads_cpu
        self._at = self._turned_at = time.monotonic()
        self._used = time.thread_time()
        self._runner = _runner()
        try:
            self._timer = ThreadTimer(self._tick)
        except Unsupported as reason:
            log.debug("shares of the loop are not measured: %s", reason)
        else:
            self._tick_every(EVERY_IDLE)
        self._on_second(self._at)

    def stop(self) -> None:
        if self._next_second is not None:
            self._next_second.cancel()
        self._switch_off()

    # Reading, on the loop

    @property
    def works(self) -> bool:
        return self._timer is not None

    def shares(self) -> dict[str, float]:
        """Of the loop's time lately, by server, ``app`` and ``idle``; together they make 1. Empty: not measured."""
        if not self.works:
            return {}
        now = time.monotonic()
        if now - self._shares_at >= SHARES_EVERY:
            self._shares, self._shares_at = divide(list(self._samples), now), now
        return self._shares

    def share_of(self, server: str) -> float | None:
        """None if it is not measured."""
        return self.shares().get(server, 0.0) if self.works else None

    def thread_shares(self) -> dict[str, float]:
        """Of one processor, by server, for those that run in threads; by the threads' own clocks."""
        if len(self._threads) < 2:
            return {}
        (began, before), (ended, now) = self._threads[0], self._threads[-1]
        return {
            server: min(1.0, max(0.0, seconds - before.get(server, 0.0)) / (ended - began))
            for server, seconds in now.items()
        }

    def lag(self) -> Lag:
        since = time.monotonic() - SPAN
        return lag_of([lag * 1000 for at, lag in list(self._lags) if at >= since])

    # On the loop

    def _on_second(self, due: float) -> None:
        now = time.monotonic()
        if not self.works:
            self._add_lag(now, now - due)
        self._threads.append((now, self._threads_cpu()))
        lags, self._new_lags = self._new_lags, []
        for lag in lags:
            self.on_lag(lag)
        self._next_second = self._loop.call_later(SECOND, self._on_second, now + SECOND, context=Context())

    def _answer(self, due: int) -> None:
        if due != self._asked:  # the thread was stopped meanwhile
            return
        now = time.monotonic()
        self._add_lag(now, now - due / 1e9)
        if self._blocked is not None and self._began is not None:
            at, owner, positions = self._blocked
            stack = [place_at(*position) for position in positions]
            self.stalls.append(Stall(at, now - self._began, None if owner in NOT_SERVERS else owner, stack))
            self.stalled += 1
        self._turned_at = now
        self._asked = self._began = self._blocked = None

    def _add_lag(self, at: float, lag: float) -> None:
        self._lags.append((at, lag))
        self._new_lags.append(lag)

    def _tick_every(self, seconds: float) -> None:
        assert self._timer is not None
        self._every = int(seconds * 1e9)
        self._due = time.monotonic_ns() + self._every
        self._timer.set(self._every)

    def _switch_off(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()

    # In the signal's handler: nothing here waits, locks, logs or calls what others wrote

    def _tick(self, number: int, frame: FrameType | None) -> None:
        try:
            if frame is not None and time.monotonic_ns() >= self._due:  # otherwise the signal is not the timer's
                self._sample(frame)
        except (RecursionError, MemoryError):
            pass  # of the code that is interrupted
        except Exception as error:
            self._switch_off()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_report, error, context=Context())

    def _sample(self, frame: FrameType) -> None:
        now, used_before, at_before, due = time.monotonic_ns(), self._used, self._at, self._due
        self._at, self._used = now / 1e9, time.thread_time()
        self._due += ((now - due) // self._every + 1) * self._every
        passed, used, late = self._at - at_before, self._used - used_before, (now - due) / 1e9
        if late > STALL and self._timer is not None and self._timer.missed() * self._every > (now - due) / 2:
            self._asked = self._began = self._blocked = None
            return
        owner, had = self._owner(frame), passed
        if owner == IDLE:
            self._add_lag(self._at, late)
            self._turned_at = self._at
        else:
            had = self._observe_turn(frame, owner, due, passed, used)
            if had < passed:
                self._samples.append(Sample(self._at, IDLE, passed - had, 0.0))
        self._samples.append(Sample(self._at, owner, had, used))
        self._usage += (used / passed - self._usage) * min(1.0, passed / SECOND)
        every = EVERY_BUSY if owner != IDLE else min(EVERY_IDLE, EVERY_BUSY * BUSY / max(self._usage, 1e-6))
        every = max(every, EVERY_BUSY)
        if not 0.7 < every * 1e9 / self._every < 1.5:
            self._tick_every(every)

    def _observe_turn(self, frame: FrameType, owner: str, due: int, passed: float, used: float) -> float:
        """How many of the seconds since the tick before this owner had the loop, as far as is known."""
        had = passed if passed < 2 * EVERY_BUSY else max(EVERY_BUSY, used)
        if self._asked is None:
            self._asked = due
            self._loop.call_soon(self._answer, due, context=Context())
            if had == passed:  # the next tick comes soon enough
                return had
        if self._began is None:
            noted = _turn_began(frame)
            self._began = (self._turned_at + due / 1e9) / 2 if noted is None else noted
            had = max(had, self._at - noted) if noted is not None else had
        if self._blocked is None and self._at - self._began >= STALL:
            self._blocked = datetime.now(UTC), owner, positions_of(frame)
        return min(passed, had)

    def _owner(self, frame: FrameType) -> str:
        """Which server has the loop: its name, ``app`` or ``idle``."""
        handle: Any = None
        inner: FrameType | None = frame
        for _ in range(_DEPTH):
            if inner is None:
                break
            if inner.f_code is _RUN:
                if inner is frame:  # the callback has just ended
                    handle = frame.f_locals["self"]
                break
            if inner.f_code is _RUN_ONCE:
                ready = getattr(self._loop, "_ready", None)
                if not ready:
                    return IDLE
                handle = ready[0]
                break
            inner = inner.f_back
        owner = OWNER.get(None) if handle is None else handle._context.get(OWNER)
        if owner is not None:
            return owner.name
        # uvloop waits, and calls callbacks, without a Python frame of its own.
        return IDLE if handle is None and frame.f_code is self._runner else APP


def _turn_began(frame: FrameType | None) -> float | None:
    """asyncio's own note of when ``select`` returned; None on another loop."""
    while frame is not None and frame.f_code is not _RUN_ONCE:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get("end_time")


def _runner() -> CodeType | None:
    """The code that runs the loop, as far as it is in Python: called by a task, whose outermost frame it has called."""
    task = asyncio.current_task()
    frame: FrameType | None = getattr(task and task.get_coro(), "cr_frame", None)
    return frame.f_back.f_code if frame is not None and frame.f_back is not None else None


def _report(error: Exception) -> None:
    log.error("the loop is no longer observed", exc_info=error)
