"""The app, assembled from its parts."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request
from fastapi.staticfiles import StaticFiles

from app import __version__, pages
from app.api import connections, events, exceptions, health, loop, metrics, problems, servers, terminal, variants
from app.declaring.upkeep import Upkeep
from app.history.schema import Bounds
from app.history.store import Store
from app.settings import Settings
from app.supervising.listening import Policy
from app.supervising.supervisor import Supervisor
from app.terminals.terminals import Terminals
from app.watching.feed import Feed
from app.web.gate import Gate
from app.web.metrics import Metrics
from app.web.security import Rules
from app.web.streams import Streams
from servers import discover

_ROUTED = (servers, variants, connections, exceptions, events, loop, metrics, health, problems, pages)


def create_app(settings: Settings | None = None) -> FastAPI:
    """One app with a supervisor of its own, which lives as long as the app's lifespan (``app.state.supervisor``)."""
    settings = settings or Settings()
    pages.prepare()
    supervisor = Supervisor(
        discover(),
        Policy(settings.ports, settings.beyond_loopback),
        Store(
            settings.state_path, Bounds(settings.journal_entries, settings.journal_exceptions, settings.journal_days)
        ),
        stop_grace=settings.stop_grace,
    )

    upkeep = Upkeep(supervisor, settings.config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await supervisor.open()
        try:
            await supervisor.resume()
            await upkeep.begin()
            yield
        finally:
            await upkeep.close()
            await supervisor.close()

    app = FastAPI(
        title="Echodeck",
        summary="A supervisor for TCP echo servers.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # replaced by our own page, which loads nothing from other hosts
        redoc_url=None,
    )
    app.state.supervisor = supervisor
    app.state.upkeep = upkeep
    app.state.feed = Feed(supervisor)
    app.state.streams = Streams(settings.streams)
    app.state.terminals = Terminals(supervisor, settings.terminals)
    app.state.metrics = Metrics(supervisor, app.state.streams, app.state.terminals)
    app.state.rules = rules = Rules(settings, frozenset({socket.gethostname().lower()}))
    routers = [module.router for module in _ROUTED]
    problems.install(app, routers, pages.problem_page)
    app.include_router(terminal.router)  # first: hundreds may open at once, and routes are tried in order
    for router in routers:
        app.include_router(router, dependencies=[] if router is pages.router else [Depends(problems.known_parameters)])
    app.add_api_websocket_route("/{path:path}", problems.nowhere)
    app.mount("/static", StaticFiles(directory=pages.ROOT / "static"), name="static")
    app.add_middleware(Gate, rules=rules, login=lambda scope: pages.login_page(Request(scope), 401))
    problems.describe(app)
    return app
