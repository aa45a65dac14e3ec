"""Until when this process may do what its lease allows, watched by a thread, so that a loop that stands still or is
late does not outlast its lease.

It counts from the moment at which the last renewal that was answered had been *sent*: the engine's own count begins
later. The clock goes on while the process or the machine stands still (clock_gettime(2), CLOCK_BOOTTIME).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOKS_EVERY = 0.25
"""Seconds at most, of a clock that stands still with the machine: when it wakes, the time may be over."""


def now() -> float:
    """Seconds, monotonic, those included for which the machine slept."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Fence:
    """``fall`` is called on a thread of the fence's own, at once when the time is over; then not again until the time
    was extended and is over once more."""

    def __init__(self, fall: Callable[[], object]) -> None:
        self.until = 0.0
        self.fallen = True
        self._fall = fall
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="fence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    @property
    def open(self) -> bool:
        """Whether there is time; safe on every thread, and right at once when a process wakes."""
        return not self.fallen and now() < self.until

    @property
    def left(self) -> float:
        """Seconds, 0 at least."""
        return max(0.0, self.until - now())

    def extend(self, until: float) -> None:
        with self._lock:
            self.until = until
            self.fallen = now() >= until

    def close(self) -> None:
        """The time is over now."""
        self._fall_if(lambda: True)

    def _watch(self) -> None:
        while not self._ended.wait(
            min(LOOKS_EVERY, max(self.until - now(), 0.001) if not self.fallen else LOOKS_EVERY)
        ):
            self._fall_if(lambda: now() >= self.until)

    def _fall_if(self, over: Callable[[], bool]) -> None:
        with self._lock:
            falls = not self.fallen and over()
            if falls:
                self.fallen = True
        if falls:
            self._fall()
