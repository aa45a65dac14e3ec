"""The app, assembled from its parts."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from app import __version__, pages
from app.api import connections, events, exceptions, loop, problems, process, servers, terminal, variants
from app.declaring.upkeep import Upkeep
from app.errors import Refusal, TooManyGuesses
from app.history.blame import in_words
from app.history.schema import Bounds
from app.history.store import Store
from app.program.features import FeatureRoutes, Features
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

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet

log = logging.getLogger("echodeck")

_ROUTERS = (
    terminal.router,  # first: hundreds may open at once, and routes are tried in order
    process.router,
    servers.router,
    variants.router,
    connections.router,
    exceptions.router,
    events.router,
    loop.router,
    problems.router,
    *pages.routers,
)


def _login(scope: Scope, refusal: Refusal) -> Response:
    problem = refusal if isinstance(refusal, TooManyGuesses) else None
    return pages.login_page(Request(scope), refusal.status, problem=problem)


def _own_names(settings: Settings) -> frozenset[str]:
    advertised = urlsplit(settings.advertise).hostname if settings.advertise else None
    return frozenset(filter(None, (socket.gethostname().lower(), advertised)))


def _fleet(settings: Settings, supervisor: Supervisor) -> Fleet:
    from app.etcd.gateway import Access
    from app.etcd.lease import LeaseTimes
    from app.fleet.fleet import Fleet, FleetSettings, tls_context

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
    fleet = _fleet(settings, supervisor) if settings.fleet else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await supervisor.open()
        recorder.start()
        try:
            await supervisor.resume()
            await upkeep.begin()
            loading = asyncio.create_task(features.load_in_slices(), name="features")
            yield
            loading.cancel()
        finally:
            await features.close()
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
    features = Features(app, supervisor, store, settings)
    supervisor.roster.most = settings.connections
    app.state.supervisor = supervisor
    app.state.upkeep = upkeep
    app.state.fleet = fleet
    if fleet is None:
        app.state.feed = Feed(supervisor, partial(Watch, supervisor, lab=features.runs))
    else:
        from app.across.feed import MergedWatch
        from app.across.nodes import own_shape

        own = partial(
            Watch, supervisor, lab=features.runs, of_node=lambda: own_shape(fleet, supervisor).model_dump_json()
        )
        app.state.feed = Feed(supervisor, own)
        app.state.feed_of_all = Feed(supervisor, partial(MergedWatch, fleet, app.state.feed))
    app.state.streams = Streams(settings.streams, pages.build())
    app.state.terminals = Terminals(supervisor, settings.terminals)
    app.state.rules = rules = Rules(settings, _own_names(settings))
    app.state.metrics = Metrics(supervisor, app.state.streams, app.state.terminals, rules.guesses, dropped_lines, fleet)
    problems.install(app, pages.problem_page)
    for router in _ROUTERS:  # not included: that makes each route a second time, at the first request
        app.router.routes.extend(router.routes)
    app.add_api_websocket_route("/static/{path:path}", problems.nowhere)
    files = GZipMiddleware(StaticFiles(directory=pages.ROOT / "static"), compresslevel=6)
    app.mount(f"/static/{pages.build()}", files)
    app.mount("/static", files, name="static")
    app.router.routes.append(FeatureRoutes(features))
    place = Place(settings.root_path, settings.proxies)
    if fleet is not None:
        from app.across.lists import Lists
        from app.across.passing import Passing

        app.state.lists = Lists(fleet)
        app.add_middleware(Passing, fleet=fleet, lists=app.state.lists)
    app.add_middleware(Gate, rules=rules, place=place, login=_login, build=pages.build())
    problems.describe(app, features.load)
    return app
