"""The dashboard, and what its forms do without JavaScript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from app.across.deck import Deck
from app.errors import Refusal, Unknown
from app.pages.fields import STARTING, changes, defaults
from app.pages.page import PageRoute, Reader, page
from app.pages.reader import to
from app.shapes.nodes import ETCD_STATES, ETCD_TROUBLES, NODE_STATES
from app.supervising.lifecycle import State
from app.supervising.spec import ServerSpec
from app.web.parameters import supervisor
from app.web.problems import explain

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

DEFAULTS = defaults() | {"variant": "asyncio"}
"""The start form's fields, as text."""

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
    actions: dict[str, Callable[[str], Awaitable[object]]]
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
    fleet: Fleet | None = request.app.state.fleet
    deck = Deck.here(found) if fleet is None else await Deck.of_all(fleet, request.app.state.lists)
    servers = deck.servers
    values = {
        "variants": list(found.variants.values()),
        "titles": {variant.name: variant.title for variant in found.variants.values()},
        "servers": deck.shapes(PAINTED),
        "others": servers[PAINTED:] if whole else servers[PAINTED : PAINTED + IN_SHORT],
        "further": [] if whole else [server.name for server in servers[PAINTED + IN_SHORT :]],
        "latest": deck.entries,
        "exceptions": deck.exceptions,
        "nodes": deck.nodes,
        "missing": deck.missing,
        "fence": 0 if fleet is None else fleet.seconds,
        "node_words": lambda state: Reader.of(request).words.gettext(NODE_STATES[state]),
        "node_here": None if fleet is None else fleet.node,
        "etcd": next((one.etcd for one in deck.nodes if fleet and one.name == fleet.node), None),
        "etcd_words": lambda word: Reader.of(request).words.gettext((ETCD_STATES | ETCD_TROUBLES)[word]),
        "problem": problem,
        "form": DEFAULTS | (form or {}),
        "starting": STARTING if fleet is None else (*STARTING, "on"),
        "changed": any((form or DEFAULTS)[name] != DEFAULTS[name] for name in (*STARTING, "on")),
    }
    if fleet is not None:
        shapes = deck.shapes(len(servers))
        values |= {
            "count": len(shapes),
            "running": sum(one.state is State.RUNNING for one in shapes),
            "connections": sum(one.connections.open + one.connections.waiting for one in shapes),
        }
    return await page(request, "dashboard.html", values, status)


@router.post("/ui/nodes/{name}/{action}")
async def act_on_node(request: Request, name: str, action: str) -> Response:
    fleet: Fleet | None = request.app.state.fleet
    try:
        if fleet is None or action not in ("drain", "resume"):
            raise Unknown(f"A node takes no {action!r}.", what="action")
        fleet.check_node(name)
        await (fleet.drain() if action == "drain" else fleet.resume())
    except Refusal as refusal:
        return await dashboard(request, refusal.status, refusal)
    return to("/")
