"""``/loop``: which server has the event loop, and how long others wait for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from app.api.problems import responses, rest_router
from app.errors import Invalid, Unknown
from app.loop.tasks import current_lines, running
from app.shapes.loop import LinesShape, LoopShape, Tasks, TaskShape
from app.shapes.series import LoopSeriesShape
from app.web.parameters import After, Last, Limit, Step, cursor, position, supervisor

router = rest_router(prefix="/loop", tags=["loop"])


@router.get("", responses=responses())
async def get_loop(request: Request) -> LoopShape:
    """Lag, shares and stalls; lag and shares are those of the last seconds."""
    found = supervisor(request)
    return LoopShape.of(found.sampler, found.servers())


@router.get("/series", responses=responses(Unknown, Invalid))
async def get_loop_series(
    request: Request,
    every: Step = 1,
    last: Last = None,
    server: Annotated[str | None, Query(description="Of a fleet, the loop that has this one.", max_length=200)] = None,
) -> LoopSeriesShape:
    """What was, over time: ten minutes by the second, a day by the minute."""
    found = supervisor(request)
    if server is not None:
        found.server(server)
    return LoopSeriesShape.of(found.series, found.servers(), every, last)


@router.get("/tasks", responses=responses(Unknown, Invalid))
async def list_tasks(
    request: Request,
    server: Annotated[str | None, Query(description="Only those of this server.", max_length=200)] = None,
    limit: Limit = 100,
    after: After = None,
) -> Tasks:
    """What runs now and where, by name: the loop's tasks, and the threads of servers.

    Tasks come and go: between two pages, some may be missed or seen twice.
    """
    start = position("tasks", after)
    if server is not None:
        supervisor(request).server(server)
    found = running(supervisor(request).servers(), server)
    following = cursor("tasks", start + limit) if len(found) > start + limit else None
    return Tasks.model_construct(items=[TaskShape.of(one) for one in found[start : start + limit]], next=following)


@router.get("/lines", responses=responses(Unknown, Invalid))
async def list_lines(
    request: Request, server: Annotated[str, Query(description="A server's name.", max_length=200)]
) -> LinesShape:
    """At which lines of its variant's file a server is now, and how many of its tasks or threads are at each."""
    return LinesShape.of_lines(current_lines(supervisor(request).server(server)))
