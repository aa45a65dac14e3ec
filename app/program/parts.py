"""What a start does not wait for: the pages, the metrics, and each feature.

A part is imported when the first request for it arrives, or else a moment after the app is ready, module by module
between two turns of the loop, so that no request waits for long. ``PARTS`` has them all: a new page, call or feature
is named there. ``tests/test_start.py`` lists what must not be imported before the app is ready.
"""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from app.web.place import own_path

SECONDS_AFTER_READY = 0.2
"""The first page, which somebody opens as soon as the app answers, goes first."""

SECONDS_BETWEEN = 0.005


@dataclass(frozen=True)
class Part:
    """``routers`` are modules with a ``router``; ``paths`` matches what they answer, and perhaps more. ``before`` are
    modules that they import: each import takes some 10 ms at most if those before it were imported."""

    paths: str
    routers: tuple[str, ...]
    before: tuple[str, ...] = ()


SERVERS = Part(r"/servers.*", ("app.api.servers",), ("app.shapes.servers", "app.shapes.series"))
LISTS = Part(
    r"/(variants|connections|exceptions|journal|events|loop|problems).*",
    tuple(f"app.api.{name}" for name in ("variants", "connections", "exceptions", "events", "loop", "problem_kinds")),
)
PAGES = Part(
    r"/|/docs|/log(in|out)|/ui/.*|/static/.*",
    # A server's own forms come before those of any server.
    tuple(f"app.pages.{name}" for name in ("server", "dashboard", "exceptions", "loop", "style", "reader")),
    ("jinja2", "app.web.words", "app.shapes.servers", "app.shapes.loop", "app.pages.page"),
)
METRICS = Part(r"/metrics", ("app.api.metrics",), ("prometheus_client",))
LAB = Part(
    r"/(ui/)?lab.*",
    ("app.measuring.experiments", "app.measuring.results", "app.measuring.pages"),
    ("app.experiments.experiment", "app.experiments.result", "app.experiments.run", "app.lab.laboratory"),
)
TRACE = Part(
    r"/servers/[^/]+/(calls|recordings).*|/(ui/)?(recordings|comparisons).*|/ui/glass|/scripts",
    ("app.glass.calls", "app.glass.recordings", "app.glass.comparisons", "app.glass.pages"),
    ("app.shapes.calls", "app.lens.lenses", "app.recordings.scripts", "app.hosting.server_host"),
)
FLEET = Part(r"/(nodes|fleet/).*", ("app.api.nodes",))
PARTS = (SERVERS, LISTS, PAGES, METRICS, LAB, TRACE, FLEET)


class PartRoutes(BaseRoute):
    """Stands before the routes of a part, and adds them when a request for one of them arrives. Matches nothing."""

    def __init__(self, app: FastAPI, part: Part, prepare: Callable[[], object]) -> None:
        self.loaded = False
        self.part = part
        self._app = app
        self._paths = re.compile(part.paths)
        self._prepare = prepare

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not self.loaded and self._paths.fullmatch(own_path(scope)):
            self.load()  # the router goes on with the routes behind this one, where they now are
        return Match.NONE, {}

    def load(self) -> None:
        """Import the part and add its routes; on the loop's thread."""
        if not self.loaded:
            self.loaded = True
            self._prepare()
            routes = [route for name in self.part.routers for route in import_module(name).router.routes]
            # Not included: FastAPI would make each route a second time, at the first request.
            place = self._app.router.routes.index(self) + 1
            self._app.router.routes[place:place] = routes


class Parts:
    """``prepare`` has what is made before a part's routes are there, by part."""

    def __init__(self, app: FastAPI, prepare: dict[Part, Callable[[], object]]) -> None:
        self._routes = [PartRoutes(app, part, prepare.get(part, lambda: None)) for part in PARTS]
        app.router.routes.extend(self._routes)

    def load(self, *parts: Part) -> None:
        """Those that are named, or all."""
        for one in self._routes:
            if not parts or one.part in parts:
                one.load()

    async def load_in_slices(self) -> None:
        """Load all a moment after the app is ready, then the templates and the catalogues."""
        await asyncio.sleep(SECONDS_AFTER_READY)
        for step in self._steps():
            step()
            await asyncio.sleep(SECONDS_BETWEEN)
        gc.collect(
            1
        )  # first, or what has become garbage meanwhile would stay for ever, as a forgotten task's exception
        gc.freeze()  # what was imported stays: a full collection need not look at it
        from app.web.words import read_catalogues

        await asyncio.to_thread(read_catalogues)

    def _steps(self) -> Iterator[Callable[[], Any]]:
        for one in self._routes:
            for module in (*one.part.before, *one.part.routers):
                if not one.loaded:
                    yield lambda name=module: import_module(name)  # type: ignore[misc]
            yield one.load
        from app.pages.page import environment, templates

        for template in templates():
            yield lambda name=template: environment.get_template(name)  # type: ignore[misc]
        for module in ("pygments.formatters.html", "pygments.lexers.python"):
            yield lambda name=module: import_module(name)  # type: ignore[misc]
