"""Where code is at this moment: a frame as file, line, function and the line's text."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from types import FrameType

MOST_FRAMES = 40


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
