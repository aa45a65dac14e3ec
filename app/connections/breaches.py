"""Limits that were reached: how often, and when that is worth a word."""

from __future__ import annotations

from collections import Counter
from typing import Literal

Limit = Literal["max_connections", "max_per_peer", "idle_timeout", "connections", "descriptors"]

BREACH_WORDS: dict[Limit, str] = {
    "max_connections": "turns clients away: it has as many as max_connections allows",
    "max_per_peer": "turns clients of {0} away: one address has as many as max_per_peer allows",
    "idle_timeout": "hangs up clients that idled for longer than idle_timeout allows",
    "connections": "turns clients away: all servers together have as many as the app's limit allows",
    "descriptors": "turns clients away: no descriptor is left for them",
}
"""The journal's sentence; ``{0}`` is a client's address."""

QUIET = 60.0
"""Seconds for which further breaches of one limit are counted without a word: an incident, not each of its clients."""


class Breaches:
    """Of one server, over all its runs; its owner guards it against threads."""

    def __init__(self) -> None:
        self.counts: Counter[Limit] = Counter()
        self._latest: dict[Limit, float] = {}

    def add(self, limit: Limit, now: float) -> bool:
        """Count one at this moment of the monotonic clock; returns whether an incident begins with it."""
        self.counts[limit] += 1
        latest = self._latest.get(limit)
        self._latest[limit] = now
        return latest is None or now - latest > QUIET
