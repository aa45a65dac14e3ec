"""The app, assembled from its parts."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from app import __version__, pages
from app.across.feed import MergedWatch
from app.across.lists import Lists
from app.across.nodes import own_shape
from app.across.passing import Passing
from app.api import connections, events, exceptions, loop, nodes, problems, process, servers, terminal, variants
from app.declaring.upkeep import Upkeep
from app.errors import Refusal, TooManyGuesses
from app.etcd.gateway import Access
from app.etcd.lease import LeaseTimes
from app.fleet.fleet import Fleet, FleetSettings, tls_context
from app.glass import calls, comparisons, recordings
from app.glass import pages as glass_pages
from app.glass.recorder import Recorder as CallRecorder
from app.glass.rehearsal import Stage
from app.glass.shelf import Shelf
from app.history.blame import in_words
from app.history.schema import Bounds
from app.history.store import Store
from app.lab.laboratory import Laboratory
from app.lens.lenses import Lenses
from app.measuring import experiments, results
from app.measuring import pages as lab_pages
from app.settings import Settings
from app.supervising.listening import Policy
from app.supervising.supervisor import Supervisor
from app.terminals.terminals import Terminals
from app.watching.feed import Feed
from app.watching.recorder import Recorder
from app.watching.watch import Watch
from app.web.gate import Gate
from app.web.metrics import Metrics
from app.web.place import Place
from app.web.security import Rules
from app.web.streams import Streams
from servers import survey

log = logging.getLogger("echodeck")

_ROUTED = (
    calls,
    recordings,
    comparisons,
    servers,
    variants,
    connections,
    exceptions,
    events,
    loop,
    nodes,
    process,
    problems,
    experiments,
    results,
    lab_pages,
    glass_pages,
    pages,
)
_PAGES = (pages.router, lab_pages.router, glass_pages.router)


def _login(scope: Scope, refusal: Refusal) -> Response:
    problem = refusal if isinstance(refusal, TooManyGuesses) else None
    return pages.login_page(Request(scope), refusal.status, problem=problem)


def _own_names(settings: Settings) -> frozenset[str]:
    advertised = urlsplit(settings.advertise).hostname if settings.advertise else None
    return frozenset(filter(None, (socket.gethostname().lower(), advertised)))


def _fleet(settings: Settings, supervisor: Supervisor) -> Fleet:
    assert settings.node is not None
    encrypted = any(url.startswith("https:") for url in settings.fleet)
    access = Access(
        settings.fleet,
        settings.fleet_user,
        settings.fleet_password.get_secret_value() if settings.fleet_password else None,
        tls_context(settings.fleet_ca, settings.fleet_cert, settings.fleet_key) if encrypted else None,
    )
    times = LeaseTimes(settings.lease, settings.renew, settings.fence)
    token = settings.token.get_secret_value() if settings.token else None
    made = FleetSettings(access, settings.node, settings.serve_on, times, settings.rebalance == "on")
    return Fleet(made, supervisor, token, __version__)


def create_app(settings: Settings | None = None, dropped_lines: Callable[[], int] = lambda: 0) -> FastAPI:
    """One app with a supervisor of its own, which lives as long as the app's lifespan (``app.state.supervisor``).

    ``dropped_lines`` is for the metrics.
    """
    settings = settings or Settings()
    pages.prepare()
    variants, broken = survey()
    for file, error in broken.items():
        log.error("servers/%s cannot be used", file, exc_info=error)
    bounds = Bounds(settings.journal_entries, settings.journal_exceptions, settings.journal_days)
    store = Store(settings.state_path, bounds)
    supervisor = Supervisor(
        variants,
        Policy(settings.ports, settings.beyond_loopback),
        store,
        stop_grace=settings.stop_grace,
        node=settings.node or "" if settings.fleet else "",
        serves_on=settings.serve_on,
    )
    supervisor.broken = {file: in_words(error) for file, error in broken.items()}

    upkeep = Upkeep(supervisor, settings.config)
    recorder = Recorder(supervisor)
    lenses = Lenses(supervisor)
    shelf = Shelf(supervisor, store)
    fleet = _fleet(settings, supervisor) if settings.fleet else None
    laboratory = Laboratory(supervisor, store, targets=settings.lab_targets, loop=settings.loop, version=__version__)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await supervisor.open()
        laboratory.remember()
        shelf.remember()
        recorder.start()
        try:
            await supervisor.resume()
            await upkeep.begin()
            yield
        finally:
            await lenses.close()
            await laboratory.close()
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
    app.state.laboratory = laboratory
    app.state.lenses = lenses
    app.state.shelf = shelf
    app.state.recorder = CallRecorder(lenses, shelf)
    app.state.stage = Stage(supervisor, shelf, settings.loop)
    if fleet is None:
        app.state.feed = Feed(supervisor, partial(Watch, supervisor, lab=laboratory.runs))
    else:
        own = partial(
            Watch, supervisor, lab=laboratory.runs, of_node=lambda: own_shape(fleet, supervisor).model_dump_json()
        )
        app.state.feed = Feed(supervisor, own)
        app.state.feed_of_all = Feed(supervisor, partial(MergedWatch, fleet, app.state.feed))
    app.state.streams = Streams(settings.streams, pages.build())
    app.state.terminals = Terminals(supervisor, settings.terminals)
    app.state.rules = rules = Rules(settings, _own_names(settings))
    app.state.metrics = Metrics(supervisor, app.state.streams, app.state.terminals, rules.guesses, dropped_lines, fleet)
    routers = [module.router for module in _ROUTED]
    problems.install(app, routers, pages.problem_page)
    app.include_router(terminal.router)  # first: hundreds may open at once, and routes are tried in order
    for router in routers:
        app.include_router(router, dependencies=[] if router in _PAGES else [Depends(problems.known_parameters)])
    app.add_api_websocket_route("/{path:path}", problems.nowhere)
    files = GZipMiddleware(StaticFiles(directory=pages.ROOT / "static"), compresslevel=6)
    app.mount(f"/static/{pages.build()}", files)
    app.mount("/static", files, name="static")
    place = Place(settings.root_path, settings.proxies)
    if fleet is not None:
        app.state.lists = Lists(fleet)
        app.add_middleware(Passing, fleet=fleet, lists=app.state.lists)
    app.add_middleware(Gate, rules=rules, place=place, login=_login, build=pages.build())
    problems.describe(app)
    return app
