"""Sizes and times as a person reads them in a narrow column."""

from __future__ import annotations

from datetime import UTC, datetime


def size(count: int) -> str:
    """Of bytes, in powers of 1,024: 12B, 3.4K, 56M."""
    if count < 1024:
        return f"{count}B"
    power = min((count.bit_length() - 1) // 10, 6)
    figure = count / 1024**power
    unit = "BKMGTPE"[power]
    return f"{figure:.1f}{unit}" if figure < 10 else f"{figure:.0f}{unit}"


def span(since: datetime, now: datetime | None = None) -> str:
    """The two largest units of the time since then: 12s, 3m05s, 2h10m, 4d03h."""
    seconds = max(0, int(((now or datetime.now(UTC)) - since).total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3600:02}h"
