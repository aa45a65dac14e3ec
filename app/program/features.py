"""The features that a start does not wait for: the lab, tracing, and what a reader of Chinese needs.

They are imported in slices between two turns of the loop, a moment after the app is ready, so that no request waits
for long. The first request that needs one of them earlier, and the first follower of the feed, get the rest at once.
``test_start.py`` holds what must not be imported before the app is ready.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from app import __version__, pages
from app.api import problems
from app.history.store import Store
from app.settings import Settings
from app.supervising.supervisor import Supervisor

if TYPE_CHECKING:
    from app.experiments.run import Run

SECONDS_AFTER_READY = 0.2
"""The first page, which somebody opens as soon as the app answers, goes first."""

SECONDS_BETWEEN = 0.005

SLICES = (
    "pygments.formatters.html",
    "pygments.lexers.python",
    "httpx",
    "app.experiments.experiment",
    "app.experiments.result",
    "app.experiments.run",
    "app.shapes.calls",
    "app.lab.laboratory",
    "app.lens.lenses",
    "app.glass.calls",
    "app.recordings.scripts",
    "app.glass.recordings",
    "app.glass.comparisons",
    "app.glass.pages",
    "app.measuring.experiments",
    "app.measuring.results",
    "app.measuring.pages",
    "app.api.nodes",
)
"""What each step imports takes some 10 ms at most, as those before it have imported the rest."""


class Features:
    """``load`` and everything else runs on the loop's thread."""

    def __init__(self, app: FastAPI, supervisor: Supervisor, store: Store, settings: Settings) -> None:
        self._app = app
        self._supervisor = supervisor
        self._store = store
        self._settings = settings
        self._closes: list[Callable[[], Any]] = []
        self.loaded = False

    def load(self) -> None:
        """Import all of them, add their routes, and have them read what the state file has of them."""
        if self.loaded:
            return
        self.loaded = True
        from app.api import nodes
        from app.glass import calls, comparisons, recordings
        from app.glass import pages as trace_pages
        from app.glass.comparison_runner import ComparisonRunner
        from app.glass.recorder import Recorder
        from app.glass.shelf import Shelf
        from app.lab.laboratory import Laboratory
        from app.lens.lenses import Lenses
        from app.measuring import experiments, results
        from app.measuring import pages as lab_pages

        settings, state = self._settings, self._app.state
        state.laboratory = laboratory = Laboratory(
            self._supervisor, self._store, targets=settings.lab_targets, loop=settings.loop, version=__version__
        )
        state.lenses = lenses = Lenses(self._supervisor)
        state.shelf = shelf = Shelf(self._supervisor, self._store)
        state.recorder = Recorder(lenses, shelf)
        state.comparison_runner = ComparisonRunner(shelf, settings.loop)
        laboratory.remember()
        shelf.remember()
        self._closes = [lenses.close, laboratory.close]
        for module in (calls, recordings, comparisons, experiments, results, nodes, lab_pages, trace_pages):
            self._app.router.routes.extend(module.router.routes)
        self._app.add_api_websocket_route("/{path:path}", problems.nowhere)  # the last of all routes

    def runs(self) -> list[Run]:
        """The experiments, for the feed."""
        self.load()
        runs: list[Run] = self._app.state.laboratory.runs()
        return runs

    async def load_in_slices(self) -> None:
        """Load them a moment after the app is ready, then the templates and the catalogues."""
        await asyncio.sleep(SECONDS_AFTER_READY)
        for step in self._steps():
            step()
            await asyncio.sleep(SECONDS_BETWEEN)
        await asyncio.to_thread(pages.read_catalogues)
        gc.freeze()  # what was imported stays: a full collection need not look at it

    def _steps(self) -> Iterator[Callable[[], object]]:
        for template in pages.templates():
            yield lambda name=template: pages.environment.get_template(name)  # type: ignore[misc]
        for module in SLICES:
            if not self.loaded:
                yield lambda name=module: import_module(name)  # type: ignore[misc]
        yield self.load

    async def close(self) -> None:
        for close in self._closes:
            await close()


class FeatureRoutes(BaseRoute):
    """Stands behind the routes of the core: a request that none of them matched loads the features.

    It matches nothing itself. The routes of the features are appended behind it, where the router goes on to look.
    """

    def __init__(self, features: Features) -> None:
        self._features = features

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        self._features.load()
        return Match.NONE, {}
