"""The loop that all servers share."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.pages.page import PageRoute, page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)


@router.get("/ui/loop")
async def show_loop(request: Request) -> Response:
    return await page(request, "loop.html", {})
