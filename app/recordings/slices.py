"""Slices of a trace in rows, in each of which they nest or follow each other: Perfetto drops those that overlap.

A thread's calls do nest or follow each other. Three things make them overlap in a recording: times and durations are
rounded, each by itself; merged calls last from the first to the last of them, with others in between; and a recording
may have been made by another version, or damaged. The first is put right, for the others there are more rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

ROUNDING = 2
"""Microseconds by which slices may overlap because a time and a duration were rounded, each by itself."""


@dataclass(eq=False)
class Slice:
    """A call from ``start`` to ``end`` in whole microseconds. ``merged`` names the row of calls that were merged with
    others in between; it is empty for a single call."""

    thread: str
    start: int
    end: int
    call: dict[str, Any]
    merged: str = ""


def rows(slices: Iterable[Slice]) -> list[tuple[str, list[Slice]]]:
    """The rows by name, each thread's own first; ends are moved by ``ROUNDING``, twice at most."""
    by_thread: dict[str, list[Slice]] = {}
    for one in sorted(slices, key=lambda one: (one.start, -one.end)):
        by_thread.setdefault(one.thread, []).append(one)
    found: list[tuple[str, list[Slice]]] = []
    for thread, own in by_thread.items():
        apart = _merged_around_others(own)
        by_name: dict[str, list[Slice]] = {thread: []}
        for one in own:
            name = f"{thread}: {one.merged}" if id(one) in apart else thread
            by_name.setdefault(name, []).append(one)
        for name, several in by_name.items():
            lanes = _lanes(several)
            found += [(f"{name} ({number})" if number > 1 else name, lane) for number, lane in enumerate(lanes, 1)]
    return found


def _merged_around_others(own: list[Slice]) -> set[int]:
    """Identities of merged slices during which the thread made other calls: around those they would look like a caller.

    ``own`` is sorted by start.
    """
    latest = [0, *accumulate((one.end for one in own), max)]
    following = [*(one.start for one in own[1:]), None]
    return {
        id(one)
        for one, before, after in zip(own, latest, following, strict=False)
        if one.merged and (before - one.start > ROUNDING or (after is not None and one.end - after > ROUNDING))
    }


def _lanes(several: list[Slice]) -> list[list[Slice]]:
    """One where they nest or follow each other; as many as it takes where they don't. ``several`` is sorted.

    Beside each lane is the stack of those in it that are open.
    """
    lanes: list[tuple[list[Slice], list[Slice]]] = []
    for one in several:
        found = next((both for both in lanes if _fits(one, both[1])), None)
        if found is None:
            found = ([], [])
            lanes.append(found)
        for both in found:
            both.append(one)
    return [lane for lane, _ in lanes]


def _fits(one: Slice, open_ones: list[Slice]) -> bool:
    """Whether it nests in the innermost of those that are open, or follows it; those that it follows are closed."""
    while open_ones and one.end > open_ones[-1].end:
        over = open_ones[-1].end - one.start
        if over > ROUNDING and one.end - open_ones[-1].end > ROUNDING:
            return False
        if over > ROUNDING:
            one.end = open_ones[-1].end
        else:
            closed = open_ones.pop()
            closed.end = min(closed.end, one.start)
    return True
