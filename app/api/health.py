"""``/healthz`` and ``/readyz``; neither needs a token."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.api.problems import responses
from app.errors import ShuttingDown
from app.shapes.problems import Health
from app.web.context import supervisor

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=responses())
async def alive() -> Health:
    """The loop turns."""
    return Health(status="alive")


@router.get("/readyz", responses=responses(ShuttingDown))
async def ready(request: Request) -> Health:
    """It takes work; not while it is ending."""
    if supervisor(request).closing:
        raise ShuttingDown("The app is shutting down.")
    return Health(status="ready")
