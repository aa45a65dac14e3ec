"""The app as a process: ``/healthz`` and ``/readyz``, which need no token, and ``/limits``."""

from __future__ import annotations

from fastapi import Request
from pydantic import BaseModel

from app.api.problems import responses, rest_router
from app.errors import BodyTooLarge, ForeignOrigin, Invalid, ReadOnly, ShuttingDown
from app.shapes.process import AppLimits, AppLimitsPatch
from app.terminals.terminals import Terminals
from app.web.parameters import supervisor
from app.web.streams import Streams

router = rest_router()


class Health(BaseModel):
    status: str


@router.get("/healthz", tags=["health"], responses=responses())
async def alive() -> Health:
    """The loop turns."""
    return Health(status="alive")


@router.get("/readyz", tags=["health"], responses=responses(ShuttingDown))
async def ready(request: Request) -> Health:
    """It takes work; not while it is ending."""
    if supervisor(request).closing:
        raise ShuttingDown("The app is shutting down.")
    return Health(status="ready")


@router.get("/limits", tags=["limits"], responses=responses())
async def get_limits(request: Request) -> AppLimits:
    """The app's own limits; those of a server are in its spec."""
    streams, terminals = _bounded(request)
    return AppLimits(connections=supervisor(request).roster.most, streams=streams.most, terminals=terminals.most)


@router.patch("/limits", tags=["limits"], responses=responses(Invalid, BodyTooLarge, ReadOnly, ForeignOrigin))
async def change_limits(request: Request, patch: AppLimitsPatch) -> AppLimits:
    """Change some, until the app ends; what is open stays open."""
    streams, terminals = _bounded(request)
    changes = patch.model_dump(exclude_unset=True)
    supervisor(request).roster.most = changes.get("connections", supervisor(request).roster.most)
    streams.most = changes.get("streams", streams.most)
    terminals.most = changes.get("terminals", terminals.most)
    return await get_limits(request)


def _bounded(request: Request) -> tuple[Streams, Terminals]:
    return request.app.state.streams, request.app.state.terminals
