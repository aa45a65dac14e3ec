"""One server's page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.api.context import supervisor
from app.pages.page import PageRoute, page
from app.shapes.servers import ServerShape

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)


@router.get("/ui/servers/{name}")
async def show_server(request: Request, name: str) -> Response:
    server = supervisor(request).server(name)
    return await page(request, "server.html", {"server": ServerShape.of(server), "variant": server.variant})
