"""Which server has the loop, and the loop's lag and stalls: sampled by a signal, on the loop's own thread.

A timer of the kernel interrupts the thread 92 times a second while the loop is busy. A tick that finds it waiting
turns the timer off, and the loop turns it on again as it wakes; on uvloop, which does not tell that, it ticks 6 times a
second. The signal's handler runs on that thread between two bytecodes, in the context of the callback that it
interrupts, and the context has the owner (``ownership``). No other thread's frames are read, which crashes some
versions of Python (python/cpython#111363), and nothing runs between two ticks.

Three things would distort the shares, and are corrected. Short callbacks are seldom sampled: the time that the loop was
busy comes from its thread's processor clock, too, and the samples divide it. A busy loop that never rests calls
``select`` all the time without waiting in it: that is no idleness, and belongs to the callback that is next. A thread
that is stopped, or has no processor, handles no signals: that time is left out.

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
import resource
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from types import CodeType, FrameType
from typing import Any, TypeVar

from app.loop.shares import IDLE, NOT_SERVERS, Lag, Sample, divide, lag_of
from app.loop.stacks import Place, Position, place_at, positions_of
from app.loop.thread_timer import ThreadTimer, Unsupported
from app.loop.turn import owner_at, runner_of, turn_began

R = TypeVar("R", bound=tuple[float, Any] | Sample)

log = logging.getLogger("echodeck.sampler")

SPAN = 5.0
"""Seconds that shares and percentiles look back."""

EVERY = 0.0109
"""Seconds between two ticks of a busy loop. No multiple of what callbacks sleep: they would always be found there."""

DOUBLINGS, IDLE_TICKS, BUSY_COUNTS = 4, 8, 16
"""A tick that finds the loop idle counts one, and each ``IDLE_TICKS`` of them double the interval, so many times at
most. A tick that finds a callback takes ``BUSY_COUNTS`` back. So ticks are frequent where one in 17 finds a callback.
The processor time of the thread cannot decide it: where waking is dear, most of it is the ticks' own."""

GOLDEN = 0.618
"""Parts of an interval that are so far from each other, modulo 1, are spread evenly over it, with no period."""

# In nanoseconds.
_EVERY = int(EVERY * 1e9)
_SOON = 8 * _EVERY
"""At most, before the first tick after the loop woke: less than a stall."""
_NEVER = 1 << 63
"""When the next tick is due while the timer is off."""

SHARES_EVERY = 0.05
SECOND = 1.0
STALL = 0.1
"""Seconds after which a loop that has not turned counts as stalled."""

MOST_STALLS = 50
MOST_SAMPLES = 1200


@dataclass(slots=True)
class Stall:
    """The loop did not turn for ``seconds``; ``server`` had it, None for the app."""

    at: datetime
    seconds: float
    server: str | None
    stack: list[Place]


class Sampler:
    """Start it on the loop that it is to observe. An error of its own ends it, with a line in the log; nothing else.

    ``settle`` is to be called about once a second. ``on_lag`` gets every lag then, in seconds.
    """

    def __init__(self) -> None:
        self.stalls: deque[Stall] = deque(maxlen=MOST_STALLS)
        self.stalled = 0
        self.on_lag: Callable[[float], None] = lambda seconds: None
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._lags: deque[tuple[float, float]] = deque(maxlen=MOST_SAMPLES)
        self._new_lags: deque[float] = deque(maxlen=MOST_SAMPLES)
        self._threads: deque[tuple[float, dict[str, float]]] = deque(maxlen=int(SPAN / SECOND) + 1)
        self._shares: dict[str, float] = {}
        self._shares_at = 0.0
        self._timer: ThreadTimer | None = None
        self._selector: Any = None
        self._waits_for_events = False
        self._part = 0.0
        self._lag_timer: asyncio.TimerHandle | None = None
        self._runner: CodeType | None = None
        # Of the ticks; times of the monotonic clock, in seconds.
        self._at = self._used = 0.0
        self._waits = 0
        self._idle = IDLE_TICKS * DOUBLINGS
        self._every = self._due = 0  # nanoseconds: kept up exactly, whatever the number of ticks
        self._left_out = self._left_out_at = 0.0
        self._ticking = False
        # Of the turn in which a tick found a callback, and which has not ended.
        self._asked_at: float | None = None
        self._began: float | None = None
        self._blocked: tuple[datetime, str, list[Position]] | None = None
        self._turned_at = 0.0

    def start(self, threads_cpu: Callable[[], dict[str, float]]) -> None:
        """``threads_cpu`` returns the processor time of servers' threads, by server."""
        self._loop = asyncio.get_running_loop()
        self._threads_cpu = threads_cpu
        self._at = self._turned_at = time.monotonic()
        self._used = time.thread_time()
        self._runner = runner_of(asyncio.current_task())
        try:
            self._timer = ThreadTimer(self._tick)
        except Unsupported as reason:
            log.info("shares of the loop are not measured: %s", reason)
            self._measure_lag(self._at)
        else:
            self._tick_every(_EVERY << DOUBLINGS)
            self._selector = getattr(self._loop, "_selector", None)
            if self._selector is not None:
                self._selector.select = self._selecting(self._selector)

    def stop(self) -> None:
        if self._lag_timer is not None:
            self._lag_timer.cancel()
        if self._selector is not None:
            del self._selector.select  # the class's own again
            self._selector = None
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
            self._shares, self._shares_at = divide(_since(now - SPAN, self._samples), now), now
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
        return lag_of([lag * 1000 for _, lag in _since(time.monotonic() - SPAN, self._lags)])

    def settle(self) -> None:
        """Read the threads' clocks, and report the lags since the call before. Not a timer's task: the loop would wake
        for it once more."""
        now = time.monotonic()
        _since(now - SPAN - SECOND, self._threads)
        self._threads.append((now, self._threads_cpu()))
        while self._new_lags:
            self.on_lag(self._new_lags.popleft())

    # On the loop

    def _measure_lag(self, due: float) -> None:
        now = time.monotonic()
        self._add_lag(now, now - due)
        self._lag_timer = self._loop.call_later(SECOND, self._measure_lag, now + SECOND, context=Context())

    def _answer(self) -> None:
        now = time.monotonic()
        if self._asked_at is not None:
            self._add_lag(now, now - self._asked_at)
        if self._blocked is not None and self._began is not None:
            at, owner, positions = self._blocked
            stack = [place_at(*position) for position in positions]
            self.stalls.append(Stall(at, now - self._began, None if owner in NOT_SERVERS else owner, stack))
            self.stalled += 1
        self._turned_at = now
        self._asked_at = self._began = self._blocked = None

    def _add_lag(self, at: float, lag: float) -> None:
        self._lags.append((at, lag))
        self._new_lags.append(lag)

    def _selecting(self, selector: Any) -> Callable[[float | None], object]:
        """The loop's way to wait, which sets the timer again where it is off."""

        def select_and_tick(timeout: float | None = None) -> object:
            self._waits_for_events = True
            ready = type(selector).select(selector, timeout)  # a lens changes the class of what it looks at
            self._waits_for_events = False
            if self._due == _NEVER:  # a tick after a fixed time would never find what takes less than that
                self._part = (self._part + GOLDEN) % 1
                self._tick_every(self._every, first=1 + int(self._part * min(2 * self._every, _SOON)))
            return ready

        return select_and_tick

    def _tick_every(self, nanoseconds: int, first: int | None = None) -> None:
        first = nanoseconds if first is None else first
        self._every, self._due = nanoseconds, time.monotonic_ns() + first
        if self._timer is not None:
            self._timer.set(first, nanoseconds)

    def _switch_off(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()

    # In the signal's handler: nothing here waits, locks, logs, or calls foreign code

    def _tick(self, number: int, frame: FrameType | None) -> None:
        if self._ticking or self._timer is None or frame is None or time.monotonic_ns() < self._due:
            return  # it interrupts itself, or the end, or the signal is not the timer's
        self._ticking = True
        try:
            self._sample(frame)
        except (RecursionError, MemoryError):
            pass  # of the code that is interrupted
        except Exception as error:
            self._switch_off()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_report, error, context=Context())
        finally:
            self._ticking = False

    def _sample(self, frame: FrameType) -> None:
        now, due = time.monotonic_ns(), self._due
        self._due += ((now - due) // self._every + 1) * self._every
        late = (now - due) / 1e9
        before, self._at = self._at, now / 1e9
        passed = self._at - before
        before, self._used = self._used, time.thread_time()
        used = self._used - before
        waits, self._waits = self._waits, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        if late > STALL:
            # A call that delays the handler uses the processor, or waits, and is woken by each tick. A thread that is
            # stopped has waited once.
            ran = used + (self._waits - waits - 1) * self._every / 1e9
            left_out = min(late, max(0.0, late - ran))
            self._leave_out(left_out)
            passed, late = passed - left_out, late - left_out
        owner, had = owner_at(frame, self._loop, self._runner), passed
        if owner == IDLE:
            self._add_lag(self._at, late)
            self._turned_at = self._at
        else:
            had = self._observe_turn(frame, owner, self._at - late, passed, used)
            if had < passed:
                self._samples.append(Sample(self._at, IDLE, passed - had, 0.0))
        self._samples.append(Sample(self._at, owner, had, used))
        idle = self._idle + 1 if owner == IDLE else self._idle - BUSY_COUNTS
        self._idle = max(0, min(idle, IDLE_TICKS * DOUBLINGS))
        every = _EVERY << self._idle // IDLE_TICKS
        if self._waits_for_events and self._timer is not None:
            self._every, self._due = every, _NEVER
            self._timer.set(0, 0)
        elif every != self._every:
            self._tick_every(every)

    def _leave_out(self, seconds: float) -> None:
        """The thread was stopped, or had no processor."""
        self._left_out, self._left_out_at = seconds, self._at
        self._turned_at += seconds
        if self._asked_at is not None:
            self._asked_at += seconds
        if self._began is not None:
            self._began += seconds

    def _observe_turn(self, frame: FrameType, owner: str, due: float, passed: float, used: float) -> float:
        """How many of the seconds since the tick before this owner had the loop, as far as is known."""
        had = passed if passed < 2 * EVERY else max(EVERY, used)
        if self._asked_at is None:
            self._asked_at = due
            self._loop.call_soon(self._answer, context=Context())
            if had == passed:  # the next tick comes soon enough
                return had
        if self._began is None:
            noted = turn_began(frame)
            if noted is None:
                self._began = (self._turned_at + due) / 2
            else:
                self._began = noted + self._left_out if noted < self._left_out_at else noted
                had = max(had, self._at - self._began)
        if self._blocked is None and self._at - self._began >= STALL:
            self._blocked = datetime.now(UTC), owner, positions_of(frame)
        return min(passed, had)


def _since(since: float, records: deque[R]) -> list[R]:
    """Those whose time, which comes first, is not before that; older ones are dropped."""
    while records and records[0][0] < since:
        records.popleft()
    return list(records)


def _report(error: Exception) -> None:
    log.error("the loop is no longer observed", exc_info=error)
