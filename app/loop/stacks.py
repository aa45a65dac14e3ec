"""Where code is at this moment: a frame as file, line, function and the line's text."""

from __future__ import annotations

import gc
import linecache
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

MOST_FRAMES = 40

_LOOKING = threading.Lock()


@contextmanager
def frames() -> Iterator[dict[int, FrameType]]:
    """The innermost frame of each thread, by its ident; to be let go of within.

    Python 3.11 makes a frame object when it is asked for one, and may collect garbage in the midst of that. If a
    callback of the collector then gives the other thread its turn, the frame that the object is for is gone, and the
    process may crash (python/cpython#111363). Later versions collect between two instructions only.
    """
    if sys.version_info >= (3, 12):
        yield sys._current_frames()
        return
    with _LOOKING:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield sys._current_frames()
        finally:
            if was_enabled:
                gc.enable()


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
