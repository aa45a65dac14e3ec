"""Sizes and times as a person reads them in a narrow column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from app.web import figures


def size(count: int) -> str:
    """Of bytes, as on the page but narrower: 12B, 3.4kB, 56.0MB; 1 kB is 1,000."""
    return figures.size(count).replace(" ", "")


def span(seconds: float) -> str:
    """The two largest units: 12s, 3m05s, 2h10m, 4d03h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def age(since: datetime) -> str:
    """By the app's clock, once that is known."""
    return span((_now() - since).total_seconds())


def tell_ages_by(now: Callable[[], datetime]) -> None:
    global _now
    _now = now


def _now() -> datetime:
    return datetime.now(UTC)


def idle(seconds: float | None) -> str:
    """Tenths below ten seconds; a dash if nobody knows."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f}s" if seconds < 9.95 else span(seconds)


def rtt(microseconds: int | None) -> str:
    """Of a round trip: 85us, 1.2ms, 340ms."""
    if microseconds is None:
        return "-"
    if microseconds < 1000:
        return f"{microseconds}us"
    return f"{microseconds / 1000:.1f}ms" if microseconds < 10_000 else f"{microseconds / 1000:.0f}ms"


def share(part: float | None) -> str:
    """Of 1, in per cent."""
    return "-" if part is None else f"{part:.1%}"
