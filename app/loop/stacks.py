"""Where code is at this moment: a frame as file, line, function and the line's text.

Of a thread's own frames and of suspended tasks that is without risk. Frames of other threads (``frames``) are read on
request only: for the tasks and lines that somebody asks for, and once as a trace of a server in threads begins.
"""

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
    """The innermost frame of each thread, by its ident; to be let go of at once. Never to be called at a rate.

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
    return place_at(*position_of(frame))


def stack_of(frame: FrameType | None) -> list[Place]:
    """The innermost last."""
    return [place_at(*position) for position in positions_of(frame)]


Position = tuple[str, int, str]
"""File, line and function: a place without the line's text, which may have to be read from a disk."""


def position_of(frame: FrameType) -> Position:
    code = frame.f_code
    return code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_name


def positions_of(frame: FrameType | None) -> list[Position]:
    """The innermost last; callable in a signal's handler."""
    positions: list[Position] = []
    while frame is not None and len(positions) < MOST_FRAMES:
        positions.append(position_of(frame))
        frame = frame.f_back
    return positions[::-1]


def place_at(file: str, line: int, function: str) -> Place:
    return Place(file, line, function, linecache.getline(file, line).strip())
