"""The exceptions of all servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response

from app.across.deck import Catches
from app.pages.page import PageRoute, page
from app.pages.reader import to
from app.web.parameters import supervisor

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

AT_ONCE = 50


@router.get("/ui/exceptions")
async def show_exceptions(
    request: Request,
    server: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[str, Query(max_length=200, alias="type")] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str | None, Query(max_length=4000)] = None,
) -> Response:
    fleet: Fleet | None = request.app.state.fleet
    wanted = {"server": server, "type": kind, "q": q}
    if fleet is None:
        found = Catches.here(supervisor(request), wanted, after, AT_ONCE)
    else:
        found = await Catches.of_all(fleet, request.app.state.lists, wanted, after, AT_ONCE)
    values = {
        "caught": found.caught,
        "older": found.older,
        "older_query": urlencode({name: text for name, text in wanted.items() if text} | {"after": found.older or ""}),
        "later": after is not None,
        "wanted": wanted,
        "servers": sorted({*found.servers, *([server] if server else [])}),
        "types": sorted({*found.types, *([kind] if kind else [])}),
        "known": found.known,
        "any": bool(found.servers),
    }
    return await page(request, "exceptions.html", values)


@router.post("/ui/exceptions/clear")
async def clear(request: Request, server: Annotated[str, Form(max_length=200)] = "") -> Response:
    chronicle = supervisor(request).chronicle
    chronicle.clear_exceptions(server or None)
    await chronicle.flushed()
    return to("/ui/exceptions")
