"""The app, assembled from its parts."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from app import __version__
from app.api import problems, process, terminal
from app.declaring.upkeep import Upkeep
from app.errors import Refusal, TooManyGuesses
from app.history.blame import in_words
from app.history.schema import Bounds
from app.history.store import Store
from app.program.parts import LAB, METRICS, PAGES, TRACE, Parts
from app.settings import Settings
from app.supervising.listening import Policy
from app.supervising.supervisor import Supervisor
from app.terminals.terminals import Terminals
from app.watching.feed import Feed, Looks
from app.watching.recorder import Recorder
from app.watching.view import View
from app.web.gate import Gate
from app.web.place import Place
from app.web.security import Rules
from app.web.streams import Streams
from echodeck import error_text
from servers import survey

if TYPE_CHECKING:
    from app.experiments.run import Run
    from app.fleet.fleet import Fleet

log = logging.getLogger("echodeck")

_ROUTED = (terminal, process)  # hundreds of terminals may open at once, and routes are tried in order

Close = Callable[[], Awaitable[None]]


class CertificatesUnusable(Exception):
    """Those for etcd cannot be read, or are none."""


def _build() -> str:
    """What browsers get is named by it; asked for with the first page."""
    from app.pages.page import build

    return build()


async def _problem_page(request: Request, refusal: Refusal) -> Response:
    from app.pages.page import problem_page

    return await problem_page(request, refusal)


def _login(scope: Scope, refusal: Refusal) -> Response:
    from app.pages.reader import login_page

    problem = refusal if isinstance(refusal, TooManyGuesses) else None
    return login_page(Request(scope), refusal.status, problem=problem)


def _own_names(settings: Settings) -> frozenset[str]:
    advertised = urlsplit(settings.advertise).hostname if settings.advertise else None
    return frozenset(filter(None, (socket.gethostname().lower(), advertised)))


def _fleet(settings: Settings, supervisor: Supervisor) -> Fleet:
    from app.etcd.gateway import Access
    from app.etcd.lease import LeaseTimes
    from app.fleet.fleet import Fleet, FleetSettings, tls_context

    assert settings.node is not None
    encrypted = any(url.startswith("https:") for url in settings.fleet)
    files = (settings.fleet_ca, settings.fleet_cert, settings.fleet_key)
    try:
        tls = tls_context(*files) if encrypted else None
    except OSError as error:
        given = ", ".join(str(file) for file in files if file)
        raise CertificatesUnusable(f"--fleet-ca, --fleet-cert, --fleet-key: {given}: {error_text(error)}") from None
    access = Access(
        settings.fleet,
        settings.fleet_user,
        settings.fleet_password.get_secret_value() if settings.fleet_password else None,
        tls,
    )
    times = LeaseTimes(settings.lease, settings.renew, settings.fence)
    token = settings.token.get_secret_value() if settings.token else None
    made = FleetSettings(access, settings.node, settings.serve_on, times, settings.rebalance == "on")
    return Fleet(made, supervisor, token, __version__)


def create_app(
    settings: Settings | None = None, dropped_lines: Callable[[], int] = lambda: 0, *, for_people: bool = True
) -> FastAPI:
    """One app with a supervisor of its own, which lives as long as the app's lifespan (``app.state.supervisor``).

    ``dropped_lines`` is for the metrics. The app is ready when its pages are, if it is ``for_people``; a program's
    first call does not wait for them.
    """
    settings = settings or Settings()
    found, broken = survey()
    for file, error in broken.items():
        log.error("servers/%s cannot be used", file, exc_info=error)
    bounds = Bounds(settings.journal_entries, settings.journal_exceptions, settings.journal_days)
    store = Store(settings.state_path, bounds)
    supervisor = Supervisor(
        found,
        Policy(settings.ports, settings.beyond_loopback),
        store,
        stop_grace=settings.stop_grace,
        node=settings.node or "" if settings.fleet else "",
        serves_on=settings.serve_on,
    )
    supervisor.broken = {file: in_words(error) for file, error in broken.items()}

    upkeep = Upkeep(supervisor, settings.config)
    recorder = Recorder(supervisor)
    fleet = _fleet(settings, supervisor) if settings.fleet else None

    closes: list[Close] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await supervisor.open()
        recorder.start()
        try:
            await supervisor.resume()
            await upkeep.begin()
            if for_people:
                parts.load(PAGES)
            loading = asyncio.create_task(parts.load_in_slices(), name="parts")
            yield
            loading.cancel()
        finally:
            for close in closes:
                await close()
            await upkeep.close()
            if fleet is not None:
                await fleet.leave()
            await recorder.close()
            await supervisor.close()

    app = FastAPI(
        title="Echodeck",
        summary="A supervisor for TCP echo servers.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # replaced by our own page, which loads nothing from other hosts
        redoc_url=None,
    )
    supervisor.roster.most = settings.connections
    app.state.supervisor = supervisor
    app.state.upkeep = upkeep
    app.state.fleet = fleet
    app.state.streams = streams = Streams(settings.streams, _build)
    app.state.terminals = terminals = Terminals(supervisor, settings.terminals)
    app.state.rules = rules = Rules(settings, _own_names(settings))
    problems.install(app, _problem_page)
    for module in _ROUTED:  # not included: FastAPI would make each route a second time, at the first request
        app.router.routes.extend(module.router.routes)

    def prepare_metrics() -> None:
        from app.web.metrics import Metrics

        app.state.metrics = Metrics(supervisor, streams, terminals, rules.guesses, dropped_lines, fleet)

    def prepare_lab() -> None:
        from app.lab.laboratory import Laboratory

        app.state.laboratory = laboratory = Laboratory(
            supervisor, store, targets=settings.lab_targets, loop=settings.loop, version=__version__
        )
        laboratory.remember()
        closes.append(laboratory.close)

    def prepare_trace() -> None:
        from app.glass.comparison_runner import ComparisonRunner
        from app.glass.recorder import Recorder
        from app.glass.shelf import Shelf
        from app.lens.lenses import Lenses

        app.state.lenses = lenses = Lenses(supervisor)
        app.state.shelf = shelf = Shelf(supervisor, store)
        app.state.recorder = Recorder(lenses, shelf)
        app.state.comparison_runner = comparison_runner = ComparisonRunner(shelf, settings.loop)
        shelf.remember()
        closes.append(comparison_runner.close)
        closes.insert(0, lenses.close)

    parts = Parts(
        app,
        {METRICS: prepare_metrics, PAGES: lambda: _mount_static(app), LAB: prepare_lab, TRACE: prepare_trace},
    )
    app.add_api_websocket_route("/{path:path}", problems.nowhere)

    def experiments() -> list[Run]:
        parts.load(LAB)
        runs: list[Run] = app.state.laboratory.runs()
        return runs

    def watch(view: View) -> Looks:
        from app.watching.watch import Watch

        if fleet is None:
            return Watch(supervisor, view, lab=experiments)
        from app.across.nodes import own_shape

        return Watch(supervisor, view, lab=experiments, of_node=lambda: own_shape(fleet, supervisor).model_dump_json())

    app.state.feed = feed = Feed(supervisor, watch)
    if fleet is not None:
        from app.across.feed import MergedWatch
        from app.across.lists import Lists
        from app.across.passing import Passing

        app.state.feed_of_all = Feed(supervisor, partial(MergedWatch, fleet, feed))
        app.state.lists = Lists(fleet)
        app.add_middleware(Passing, fleet=fleet, lists=app.state.lists)
    app.add_middleware(Gate, rules=rules, place=Place(settings.root_path, settings.proxies), login=_login, build=_build)
    problems.describe(app, parts.load)
    return app


def _mount_static(app: FastAPI) -> None:
    from app.pages.page import ROOT, build

    files = GZipMiddleware(StaticFiles(directory=ROOT / "static"), compresslevel=6)
    app.mount(f"/static/{build()}", files)
    app.mount("/static", files, name="static")
