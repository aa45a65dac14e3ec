"""The progression: one echo server in seven steps, from a blocking socket to asyncio with contained errors.

A file here is a variant, by being here: ``step_3_blocking.py`` is step 3, named ``blocking``; a file
``beyond_NAME.py`` comes after the steps. Its docstring's first line is the title, its second paragraph the lesson, and
its ``serve`` says by its colour where it runs: ``async def`` on the event loop, ``def`` in a thread of its own.
``ON_THE_WIRE`` says what a client can expect of it, for the page and for the tests; without one it echoes each chunk to
all its clients at once.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from servers._connection import Connection, Lens, Watcher
from servers._contract import Options, Wire
from servers._selector import look_at
from servers._witness import Listener

__all__ = [
    "Connection",
    "Lens",
    "Listener",
    "Options",
    "Serve",
    "Variant",
    "Watcher",
    "Wire",
    "discover",
    "look_at",
    "survey",
]

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
    """Every variant in this folder by name, the steps in their order first."""
    return survey()[0]


def survey() -> tuple[dict[str, Variant], dict[str, BaseException]]:
    """The variants, and what is wrong with each file that is named like one and is none, by the file's name."""
    found: list[Variant] = []
    broken: dict[str, BaseException] = {}
    for module in pkgutil.iter_modules(__path__):
        if parts := _FILE.fullmatch(module.name):
            try:
                found.append(_read(module.name, parts["name"], int(parts["step"]) if parts["step"] else None))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # it may be anybody's file, and do anything, even exit
                broken[f"{module.name}.py"] = error
    found.sort(key=lambda variant: (variant.step is None, variant.step, variant.name))
    return {variant.name: variant for variant in found}, broken


def _read(file: str, name: str, step: int | None) -> Variant:
    """Raises:
    TypeError: it has no ``serve``, title or lesson.
    """
    module = import_module(f"{__name__}.{file}")
    serve = getattr(module, "serve", None)
    path = Path(module.__file__ or "")
    docstring = ast.get_docstring(ast.parse(path.read_bytes()))  # of the source: optimised bytecode has none
    paragraphs = [" ".join(part.split()) for part in (docstring or "").split("\n\n")]
    if not callable(serve) or len(paragraphs) < 2:
        raise TypeError(f"servers/{file}.py needs a serve(listener, options) and a docstring of a title and a lesson")
    return Variant(
        name=name.replace("_", "-"),
        step=step,
        title=paragraphs[0].rstrip("."),
        lesson=paragraphs[1],
        runs_on="loop" if inspect.iscoroutinefunction(serve) else "thread",
        wire=getattr(module, "ON_THE_WIRE", Wire()),
        serve=serve,
        path=path,
    )
