"""The loop that all servers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from app.loop.shares import APP, IDLE
from app.loop.tasks import running
from app.pages.page import PageRoute, page
from app.shapes.loop import LoopShape, TaskShape
from app.web.parameters import supervisor

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

MOST_TASKS, MOST_STALLS = 100, 20


@router.get("/ui/loop")
async def show_loop(request: Request, server: Annotated[str, Query(max_length=200)] = "") -> Response:
    found = supervisor(request)
    servers = found.servers()
    loop = LoopShape.of(found.sampler, servers)
    tasks = running(servers, server or None)
    at_work = {name: share for name, share in loop.share.items() if name not in (APP, IDLE)}
    on_threads = {one.name: loop.threads.get(one.name, 0.0) for one in servers if one.threads}
    values: dict[str, Any] = {
        "shape": loop,
        "shares": sorted(at_work.items(), key=lambda pair: (-pair[1], pair[0])),
        "threads": sorted(on_threads.items(), key=lambda pair: (-pair[1], pair[0])),
        "stalls": loop.stalls[:MOST_STALLS],
        "tasks": [TaskShape.of(one) for one in tasks[:MOST_TASKS]],
        "task_count": len(tasks),
        "wanted": server,
        "names": [one.name for one in servers],
        "nodes": [],
    }
    fleet: Fleet | None = request.app.state.fleet
    if fleet is not None:
        others = {name: value.url for name, (state, value) in fleet.nodes().items() if state != "lost"}
        values |= {"nodes": [(name, url, name == fleet.node) for name, url in others.items()]}
    return await page(request, "loop.html", values)
