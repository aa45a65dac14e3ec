"""Figures for people, in their language; ``static/figures.js`` formats them alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from app.web.words import Words

SPANS = (("d", 86_400), ("h", 3_600), ("min", 60))


def _(message: str) -> str:
    """Marks a message for the catalogue."""
    return message


UNITS: dict[str, str] = {"d": _("%(n)s d"), "h": _("%(n)s h"), "min": _("%(n)s min"), "s": _("%(n)s s")}


def span(since: datetime, now: datetime, words: Words) -> str:
    """The time between both, in the largest unit that fits."""
    seconds = max(0, int((now - since).total_seconds()))
    unit, length = next(((unit, length) for unit, length in SPANS if seconds >= length), ("s", 1))
    return words.gettext(UNITS[unit]) % {"n": seconds // length}


def size(count: int) -> str:
    """Bytes, in powers of 1,000: 1 kB is 1,000 B."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def percent(share: float) -> str:
    """A share of 1, in per cent; one more digit below 10 %."""
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


def grouped(count: int) -> str:
    return f"{count:,}"


FILTERS: dict[str, Callable[..., str]] = {"size": size, "percent": percent, "grouped": grouped}
