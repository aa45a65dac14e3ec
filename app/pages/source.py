"""Python for readers: a variant's source coloured line by line, and a traceback with the variant's own frames apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup

from app.pages.page import environment
from app.shapes.loop import PlaceShape

_OWN_FILE = re.compile(r"[\\/]servers[\\/](?!_)[^\\/]+\.py$")
_OWN = re.compile(r'  File "[^"]*[\\/]servers[\\/](?!_)[^"\\/]+\.py", line \d+')
"""How Python begins a frame of a variant's file. static/happenings/traceback.js has the same."""


@lru_cache(maxsize=64)
def coloured_lines(source: str) -> list[Markup]:
    """Each line of a Python file as HTML, in spans with Pygments' short class names (static/style/source.css)."""
    # Imported when the first source is shown, or a moment after the start (``program.features``).
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

    # The formatter ends each span at the end of its line, and escapes what the lexer found.
    html = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    return [Markup(line) for line in html.removesuffix("\n").split("\n")]  # noqa: S704  # escaped by the formatter


def frames(traceback: str) -> Iterator[tuple[bool, str]]:
    """The traceback in pieces of whole lines, and of each whether it is a frame of a variant's own file."""
    own, piece = False, ""
    for line in traceback.splitlines(keepends=True):
        begins = not line.startswith("    ")
        now = _OWN.match(line) is not None if begins else own
        if now != own and piece:
            yield own, piece
            piece = ""
        own = now
        piece += line
    if piece:
        yield own, piece


def place_of(stack: list[PlaceShape]) -> PlaceShape | None:
    """Where a stack says that something is: the innermost call in a variant's own file, or else the innermost of all;
    static/loop/place.js has the same."""
    own = (place for place in reversed(stack) if _OWN_FILE.search(place.file))
    return next(own, stack[-1] if stack else None)


environment.filters |= {"frames": frames, "place": place_of}
