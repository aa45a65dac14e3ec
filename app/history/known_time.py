"""The time of day as far as it can be believed: what is old enough to be forgotten is judged by it.

A machine may start with a clock that is a year ahead, until somebody sets it right; what was deleted by then would not
come back.
"""

from __future__ import annotations

CATCH_UP = 24.0
"""How many times as fast as time passes it may follow the clock: an hour with a wrong clock ages nothing by more than
a day, and after a month in which the app did not run it is right again within a day and a half."""


class KnownTime:
    """Seconds of the epoch. ``at`` is what was known when the monotonic clock said ``now``."""

    def __init__(self, at: float, now: float) -> None:
        self.at = at
        self._looked = now

    def look(self, wall: float, now: float) -> float:
        """What is known now, when the clock says ``wall``: never more than that."""
        passed = max(0.0, now - self._looked)
        self._looked = now
        self.at = max(self.at, min(wall, self.at + passed * (1.0 + CATCH_UP)))
        return min(self.at, wall)
