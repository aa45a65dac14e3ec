"""The exceptions of all servers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.pages.page import PageRoute, page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)


@router.get("/ui/exceptions")
async def show_exceptions(request: Request) -> Response:
    return await page(request, "exceptions.html", {})
