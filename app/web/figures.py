"""Figures for people, in their language; ``static/figures.js`` writes them alike, by the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line writes sizes too, and should not wait for the catalogues
    from app.web.words import Words

SPANS = (("d", 86_400), ("h", 3_600), ("min", 60))

NOTHING = "–"  # noqa: RUF001  # a dash, as in print


def _(message: str) -> str:
    """Marks a message for the catalogue."""
    return message


UNITS: dict[str, str] = {"d": _("%(n)s d"), "h": _("%(n)s h"), "min": _("%(n)s min"), "s": _("%(n)s s")}


def duration(seconds: float, words: Words) -> str:
    """A length of time in the largest unit that fits."""
    whole = max(0, int(seconds))
    unit, length = next(((unit, length) for unit, length in SPANS if whole >= length), ("s", 1))
    return words.gettext(UNITS[unit]) % {"n": whole // length}


def span(since: datetime, now: datetime, words: Words) -> str:
    """How long it is."""
    return duration((now - since).total_seconds(), words)


def idle(seconds: float | None, words: Words) -> str:
    """Tenths below ten seconds."""
    if seconds is None:
        return NOTHING
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds, words)


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


def size_or_nothing(count: int) -> str:
    return size(count) if count else NOTHING


def percent(share: float | None) -> str:
    """One digit more where the share is small; what would be 0.0 % is 0 %."""
    if share is None:
        return NOTHING
    return f"{share * 100:.1f} %" if 0.0005 <= share < 0.0995 else f"{share * 100:.0f} %"


def busy_share(shares: Mapping[str, float]) -> float | None:
    """The share of the loop that is not idle; None where shares are not measured."""
    return 1 - shares.get("idle", 0.0) if shares else None


def grouped(count: int) -> str:
    return f"{count:,}"


def ms(value: float) -> str:
    """Milliseconds; no decimals from ten on."""
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def round_trip(microseconds: int | None) -> str:
    return NOTHING if microseconds is None else f"{microseconds / 1000:.2f} ms"


FILTERS: dict[str, Callable[..., object]] = {
    "size": size,
    "size_or_nothing": size_or_nothing,
    "percent": percent,
    "busy_share": busy_share,
    "grouped": grouped,
    "ms": ms,
    "round_trip": round_trip,
}
