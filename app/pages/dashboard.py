"""The dashboard, and what its forms do without JavaScript."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from app.errors import Refusal, Unknown
from app.pages.fields import STARTING, changes, defaults
from app.pages.page import PageRoute, page
from app.pages.reader import to
from app.shapes.happenings import ExceptionShape
from app.shapes.servers import ServerShape
from app.supervising.spec import ServerSpec
from app.web.context import supervisor
from app.web.problems import explain

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

DEFAULTS = defaults() | {"variant": "asyncio"}
"""The start form's fields, as text."""

LATEST = 12
PAINTED, IN_SHORT = 60, 60
"""Servers that are painted in full, and then those with name and state alone. Of further ones the script is
given the names: a browser needs half a second for a thousand rows, and nobody looks at the last ones first."""


@router.get("/")
async def show_dashboard(request: Request, whole: bool = False) -> Response:
    """``whole``: every server, for readers without JavaScript."""
    return await dashboard(request, whole=whole)


@router.get("/docs")
async def show_api(request: Request) -> Response:
    return await page(request, "docs.html", {})


@router.post("/ui/servers")
async def start_one(request: Request) -> Response:
    data = await request.form()
    form = {field: str(data.get(field, "")).strip() for field in DEFAULTS}
    given: dict[str, Any] = {"port": 0} | changes(form)
    try:
        await supervisor(request).create(ServerSpec.model_validate(given))
    except ValidationError as error:
        problem = explain({**one, "loc": ("body", *one["loc"])} for one in error.errors())
        return await dashboard(request, problem.status, problem, form)
    except Refusal as refusal:
        return await dashboard(request, refusal.status, refusal, form)
    return to("/")


@router.get("/ui/servers")
async def after_a_form() -> Response:
    """Where a refused form leaves its reader without JavaScript; a reload asks for this."""
    return to("/")


@router.post("/ui/servers/{name}/{action}")
async def act(request: Request, name: str, action: str) -> Response:
    found = supervisor(request)
    actions = {"start": found.start, "stop": found.stop, "restart": found.restart, "remove": found.remove}
    try:
        if action not in actions:
            raise Unknown(f"A server takes no {action!r}.", what="action")
        await actions[action](name)
    except Refusal as refusal:
        return await dashboard(request, refusal.status, refusal)
    return to("/")


async def dashboard(
    request: Request,
    status: int = 200,
    problem: Refusal | None = None,
    form: dict[str, str] | None = None,
    whole: bool = False,
) -> Response:
    found = supervisor(request)
    servers = found.servers()
    values = {
        "variants": list(found.variants.values()),
        "titles": {variant.name: variant.title for variant in found.variants.values()},
        "servers": [ServerShape.of(server) for server in servers[:PAINTED]],
        "others": servers[PAINTED:] if whole else servers[PAINTED : PAINTED + IN_SHORT],
        "further": [] if whole else [server.name for server in servers[PAINTED + IN_SHORT :]],
        "latest": found.chronicle.entries()[:LATEST],
        "exceptions": _latest_exceptions(request),
        "problem": problem,
        "form": DEFAULTS | (form or {}),
        "starting": STARTING,
        "changed": any((form or DEFAULTS)[name] != DEFAULTS[name] for name in STARTING),
    }
    return await page(request, "dashboard.html", values, status)


def _latest_exceptions(request: Request) -> dict[str, ExceptionShape]:
    """Of each server the latest, as far as it is among those that a page holds."""
    latest: dict[str, ExceptionShape] = {}
    for record in supervisor(request).chronicle.exceptions()[:100]:
        latest.setdefault(record.server, ExceptionShape.of(record))
    return latest
