"""How the loop's time is divided among servers, and its lag: the arithmetic, without a clock or a signal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

HALF_LIFE = 0.7
"""Seconds after which a sample weighs half as much in the shares: what began two seconds ago shows as what it is."""

APP, IDLE = "app", "idle"
NOT_SERVERS = frozenset({APP, IDLE})
"""Names that have a share of the loop and are no servers."""


@dataclass(frozen=True)
class Lag:
    """How late the loop came to what was ready, in ms."""

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Sample(NamedTuple):
    """Which server had the loop at that time; ``passed`` is the seconds since the sample before, ``used`` the processor
    time of the loop's thread in them."""

    at: float
    owner: str
    passed: float
    used: float


def divide(samples: Iterable[Sample], now: float) -> dict[str, float]:
    """Shares of the loop's time by server, ``APP`` and ``IDLE``, which make 1 together; recent samples weigh more."""
    total, used = 0.0, 0.0
    parts: defaultdict[str, float] = defaultdict(float)
    for sample in samples:
        weight = 0.5 ** ((now - sample.at) / HALF_LIFE)
        total += weight * sample.passed
        used += weight * sample.used
        parts[sample.owner] += weight * sample.passed
    if not total:
        return {APP: 0.0, IDLE: 1.0}
    sampled_busy = 1 - parts.pop(IDLE, 0.0) / total
    # A callback that sleeps has the loop and uses no processor; short callbacks are seldom sampled, and use it.
    busy = min(1.0, max(sampled_busy, used / total))
    all_parts = sum(parts.values())
    if not all_parts:
        return {APP: busy, IDLE: 1 - busy}
    return {APP: 0.0} | {owner: busy * part / all_parts for owner, part in parts.items()} | {IDLE: 1 - busy}


def lag_of(lags: list[float]) -> Lag:
    """The percentiles of lags in ms."""
    lags = sorted(lags)
    if not lags:
        return Lag()
    return Lag(lags[len(lags) // 2], lags[min(len(lags) - 1, len(lags) * 99 // 100)], lags[-1])
