"""The progression: one echo server in seven steps, from a blocking socket to asyncio with contained errors.

A file here is a variant, by being here: ``step_3_blocking.py`` is step 3, named ``blocking``; a file
``beyond_NAME.py`` comes after the steps. Its docstring's first line is the title, its second paragraph the lesson, and
its ``serve`` says by its colour where it runs: ``async def`` on the event loop, ``def`` in a thread of its own.
``ON_THE_WIRE`` says what a client can expect of it, for the page and for the tests; without one it echoes each chunk to
all its clients at once.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from servers._contract import Options, Wire
from servers._witness import Connection, Listener, Watcher

__all__ = ["Connection", "Listener", "Options", "Serve", "Variant", "Watcher", "Wire", "discover"]

Serve = Callable[[Listener, Options], Coroutine[Any, Any, None] | None]

_FILE = re.compile(r"(?:step_(?P<step>\d+)|beyond)_(?P<name>[a-z0-9_]+)")


@dataclass(frozen=True)
class Variant:
    """One way of serving clients; everything in it is read from the variant's own file."""

    name: str
    step: int | None
    title: str
    lesson: str
    runs_on: Literal["loop", "thread"]
    wire: Wire
    serve: Serve
    path: Path

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")


def discover() -> dict[str, Variant]:
    """Every variant in this folder by name, the steps in their order first.

    Raises:
        TypeError: a file that is named like a variant has no ``serve``, title or lesson.
    """
    found = []
    for module in pkgutil.iter_modules(__path__):
        if parts := _FILE.fullmatch(module.name):
            found.append(_read(module.name, parts["name"], int(parts["step"]) if parts["step"] else None))
    found.sort(key=lambda variant: (variant.step is None, variant.step, variant.name))
    return {variant.name: variant for variant in found}


def _read(file: str, name: str, step: int | None) -> Variant:
    module = import_module(f"{__name__}.{file}")
    serve = getattr(module, "serve", None)
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(module.__doc__ or "").split("\n\n")]
    if not callable(serve) or len(paragraphs) < 2 or module.__file__ is None:
        raise TypeError(f"servers/{file}.py needs a serve(listener, options) and a docstring of a title and a lesson")
    return Variant(
        name=name.replace("_", "-"),
        step=step,
        title=paragraphs[0].rstrip("."),
        lesson=paragraphs[1],
        runs_on="loop" if inspect.iscoroutinefunction(serve) else "thread",
        wire=getattr(module, "ON_THE_WIRE", Wire()),
        serve=serve,
        path=Path(module.__file__),
    )
