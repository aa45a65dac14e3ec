"""When a server that ended by itself is worth another try: the restart policy, and how long to wait before each.

Data and arithmetic only.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from app.supervising.lifecycle import State


class Restart(StrEnum):
    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"

    def wants(self, ended: State) -> bool:
        """Whether a server that ended this way, by itself, is to run again."""
        return self is Restart.ALWAYS or (self is Restart.ON_FAILURE and ended is State.CRASHED)


@dataclass
class Backoff:
    """How long to wait before the next try; all times in seconds of one monotonic clock.

    The delay doubles from ``first`` to ``longest`` with every restart and starts anew once a run lasted for ``window``.
    After ``most`` restarts within the last ``window`` it gives up, but never on what is another's doing. Up to
    ``jitter`` of a delay is added, by chance, so that servers which fell together do not all come back at once.
    """

    first: float = 0.5
    longest: float = 30.0
    most: int = 5
    window: float = 60.0
    jitter: float = 0.1
    chance: Callable[[], float] = random.random
    _restarts: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0
    _hindered: int = 0

    def next_delay(self, now: float, lasted: float) -> float | None:
        """The wait before the next try, after a run that lasted this long; None to give up."""
        while self._restarts and self._restarts[0] <= now - self.window:
            self._restarts.popleft()
        if lasted >= self.window:
            self._in_a_row = 0
        if len(self._restarts) >= self.most:
            return None
        self._restarts.append(now)
        self._in_a_row += 1
        self._hindered = 0
        return self._delay(self._in_a_row)

    def patient_delay(self) -> float:
        """The wait before the next try of what another's doing hinders, which counts as no restart."""
        self._hindered += 1
        return self._delay(self._hindered)

    def _delay(self, times: int) -> float:
        delay = min(self.longest, self.first * 2.0 ** min(times - 1, 32))
        return delay * (1 + self.jitter * self.chance())

    def forget(self) -> None:
        """The server was started or stopped on request: earlier failures no longer count."""
        self._restarts.clear()
        self._in_a_row = self._hindered = 0
