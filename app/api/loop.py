"""``/loop``: who has the event loop, and how long it keeps others waiting."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.api.context import supervisor
from app.api.paging import After, Limit, cursor, position
from app.api.problems import responses
from app.errors import Invalid
from app.shapes.loop import LoopShape, Tasks, TaskShape
from app.tasks import running

router = APIRouter(prefix="/loop", tags=["loop"])


@router.get("", responses=responses())
async def get_loop(request: Request) -> LoopShape:
    """Lag, shares and stalls; lag and shares are those of the last seconds."""
    found = supervisor(request)
    return LoopShape.of(found.sampler, found.servers())


@router.get("/tasks", responses=responses(Invalid))
async def list_tasks(request: Request, limit: Limit = 100, after: After = None) -> Tasks:
    """What runs now and where, by name: the loop's tasks, and the threads of servers.

    Tasks come and go: between two pages, some may be missed or seen twice.
    """
    start = position("tasks", after)
    found = running(supervisor(request).servers())
    following = cursor("tasks", start + limit) if len(found) > start + limit else None
    return Tasks.model_construct(items=[TaskShape.of(one) for one in found[start : start + limit]], next=following)
