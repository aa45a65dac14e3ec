"""The exceptions of all servers."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response

from app.pages.page import PageRoute, page
from app.pages.reader import to
from app.shapes.happenings import ExceptionShape
from app.web.context import supervisor
from app.web.paging import cut, position

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

AT_ONCE = 50


@router.get("/ui/exceptions")
async def show_exceptions(
    request: Request,
    server: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[str, Query(max_length=200, alias="type")] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    chronicle = supervisor(request).chronicle
    everything = chronicle.exceptions()
    start = position("exceptions", after) or None
    matching = [
        record
        for record in everything
        if record.fits(server or None, kind or None, q or None) and (start is None or record.id < start)
    ]
    records, older = cut("exceptions", matching, AT_ONCE, lambda record: record.id)
    wanted = {"server": server, "type": kind, "q": q}
    values = {
        "caught": [ExceptionShape.of(record) for record in records],
        "older": older,
        "older_query": urlencode({name: text for name, text in wanted.items() if text} | {"after": older or ""}),
        "later": after is not None,
        "wanted": wanted,
        "servers": sorted({record.server for record in everything} | ({server} if server else set())),
        "types": sorted({record.details.type for record in everything} | ({kind} if kind else set())),
        "known": {one.name for one in supervisor(request).servers()},
        "any": bool(everything),
    }
    return await page(request, "exceptions.html", values)


@router.post("/ui/exceptions/clear")
async def clear(request: Request, server: Annotated[str, Form(max_length=200)] = "") -> Response:
    chronicle = supervisor(request).chronicle
    chronicle.clear_exceptions(server or None)
    await chronicle.flushed()
    return to("/ui/exceptions")
