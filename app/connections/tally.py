"""What a server's connections add up to, over all its runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.connections.breaches import Breaches
from app.kernel.traffic import NO_TRAFFIC, Traffic


@dataclass
class Tally:
    """Counts that outlive the connections they count; their owner guards them against threads.

    ``turned_away`` counts clients that were closed at once: too many already, or no descriptor left (``breaches`` has
    which, and how often). ``ended`` is the traffic of connections that are closed, ``seen`` what the latest look at
    those still open added up to.
    """

    total: int = 0
    open: int = 0
    peak: int = 0
    turned_away: int = 0
    ended: Traffic = NO_TRAFFIC
    seen: Traffic = NO_TRAFFIC
    breaches: Breaches = field(default_factory=Breaches)

    def opened(self) -> None:
        self.total += 1
        self.open += 1
        self.peak = max(self.peak, self.open)

    def closed(self, traffic: Traffic, seen: Traffic) -> None:
        """A connection ended with this traffic; ``seen`` is what it had at the latest look."""
        self.open -= 1
        self.ended += traffic
        self.seen -= seen
