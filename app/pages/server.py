"""One server's page, and what its forms do without JavaScript."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from app.errors import Refusal, Unknown
from app.loop.tasks import Line, current_lines
from app.pages import columns
from app.pages.fields import as_text, changes, number
from app.pages.page import PageRoute, page
from app.pages.reader import to
from app.pages.source import coloured_lines
from app.shapes.connections import ConnectionShape
from app.shapes.happenings import ExceptionShape
from app.shapes.servers import ServerShape
from app.supervising.lifecycle import AT_REST
from app.supervising.server import Server
from app.supervising.spec import PLACE, Limits, ServerPatch
from app.web.parameters import cut, position, supervisor
from app.web.problems import explain

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

FIELDS = (*PLACE, "on", *Limits.model_fields)
MOST_CONNECTIONS, MOST_EXCEPTIONS, MOST_ENTRIES, MOST_LINES = 100, 20, 30, 3


@router.get("/ui/servers/{name}")
async def show_server(
    request: Request, name: str, earlier: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    return await _show(request, supervisor(request).server(name), earlier=earlier)


@router.post("/ui/servers/{name}/change")
async def change(request: Request, name: str) -> Response:
    server = supervisor(request).server(name)
    data = await request.form()
    form = {field: str(data[field]).strip() for field in FIELDS if field in data}
    try:
        await supervisor(request).change(name, ServerPatch.model_validate(changes(form)))
    except ValidationError as error:
        problem: Refusal = explain({**one, "loc": ("body", *one["loc"])} for one in error.errors())
        return await _show(request, server, problem, form)
    except Refusal as refusal:
        return await _show(request, server, refusal, form)
    return to(f"/ui/servers/{name}#settings")


@router.get("/ui/servers/{name}/{action}")
async def after_a_form(name: str, action: str) -> Response:
    """As for ``/ui/servers``."""
    return to(f"/ui/servers/{name}")


@router.post("/ui/servers/{name}/act")
async def act(request: Request, name: str) -> Response:
    found = supervisor(request)
    server, data = found.server(name), await request.form()
    action, drain = str(data.get("action", "")), number(str(data.get("drain", "")).strip() or "0", float)
    try:
        if action == "stop":
            if not isinstance(drain, float) or drain > 3600:
                raise explain([{"loc": ("query", "drain"), "msg": "Give seconds, 0 to 3600.", "type": "value"}])
            await found.stop(name, drain)
        elif action == "remove":
            await found.remove(name)
            return to("/")
        elif action in ("start", "restart"):
            await (found.start if action == "start" else found.restart)(name)
        else:
            raise Unknown(f"A server takes no {action!r}.", what="action")
    except Refusal as refusal:
        return await _show(request, server, refusal)
    return to(f"/ui/servers/{name}")


def busiest(lines: list[Line]) -> list[Line]:
    """The few lines at which most of a server is, in their order; static/server/source.js has the same."""
    most = sorted(lines, key=lambda line: -(line.tasks + line.threads))[:MOST_LINES]
    return sorted(most, key=lambda line: line.number)


async def _show(
    request: Request,
    server: Server,
    problem: Refusal | None = None,
    form: dict[str, str] | None = None,
    earlier: str | None = None,
) -> Response:
    found, shape, variant = supervisor(request), ServerShape.of(server), server.variant
    rows = await found.connections.page(0, MOST_CONNECTIONS, server.name)
    shapes = list(filter(None, (ConnectionShape.of(one, found.roster) for one in rows)))
    entries = found.chronicle.entries(position("journal", earlier) or None, server.name)
    latest, older = cut("journal", entries, MOST_ENTRIES, lambda entry: entry.id)
    exceptions = found.chronicle.exceptions(server=server.name)
    now = current_lines(server)
    values: dict[str, Any] = {
        "server": shape,
        "variant": variant,
        "variants": list(found.variants.values()),
        "file": variant.path.name,
        "source": coloured_lines(variant.source),
        "now": {line.number: line for line in now.lines},
        "looked_at": now,
        "busiest": busiest(now.lines),
        "queue": [row for row in shapes if row.state == "waiting"],
        "connections_here": shapes,
        "columns": columns.CONNECTIONS,
        "is_there": found.roster.has,
        "caught": [ExceptionShape.of(record, found.chronicle) for record in exceptions[:MOST_EXCEPTIONS]],
        "more_caught": len(exceptions) > MOST_EXCEPTIONS,
        "entries": latest,
        "older": older,
        "earlier": earlier is not None,
        "at_rest": server.state in AT_REST,
        "limits": [*(["on"] if request.app.state.fleet else []), *Limits.model_fields],
        "place": PLACE,
        "settings": as_text({name: getattr(server.spec, name) for name in FIELDS}) | (form or {}),
        "form_problem": problem if form is not None else None,
        "problem": problem,
    }
    return await page(request, "server.html", values, problem.status if problem else 200)
