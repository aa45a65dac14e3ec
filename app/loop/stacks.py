"""Where code is at this moment: a frame as file, line, function and the line's text."""

from __future__ import annotations

import gc
import linecache
import sys
from dataclasses import dataclass
from types import FrameType

MOST_FRAMES = 40

ROOM = 200
"""Objects that looking at a stack makes, and more."""


def frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by its ident; to be let go of at once.

    Python 3.11 makes a frame object when it is asked for one, and may collect garbage in the midst of that. If a
    callback of the collector then gives the other thread its turn, the frame that the object is for is gone, and the
    process may crash (python/cpython#111363). So what is about to be collected is collected before. Later versions
    collect between two instructions only.
    """
    if sys.version_info < (3, 12) and gc.isenabled() and gc.get_count()[0] > gc.get_threshold()[0] - ROOM:
        gc.collect(0)
    return sys._current_frames()


@dataclass(frozen=True, slots=True)
class Place:
    """A line that is being executed."""

    file: str
    line: int
    function: str
    code: str


def place_of(frame: FrameType) -> Place:
    code = frame.f_code
    line = frame.f_lineno or code.co_firstlineno
    return Place(code.co_filename, line, code.co_name, linecache.getline(code.co_filename, line).strip())


def stack_of(frame: FrameType | None) -> list[Place]:
    """The innermost last."""
    places: list[Place] = []
    while frame is not None and len(places) < MOST_FRAMES:
        places.append(place_of(frame))
        frame = frame.f_back
    return places[::-1]
