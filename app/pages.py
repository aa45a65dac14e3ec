"""The pages: what the browser gets, complete without JavaScript. Forms come back here and go on to the supervisor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from app.api.context import supervisor
from app.api.problems import explain
from app.clock import Clock
from app.errors import Refusal, Unknown
from app.lifecycle import State
from app.listening import show
from app.security import COOKIE, Role, Rules, session
from app.shapes.servers import ServerShape
from app.spec import ServerSpec

HERE = Path(__file__).parent
ROOT = HERE if (HERE / "templates").is_dir() else HERE.parent
"""In a checkout the templates lie beside the package, installed they lie in it."""

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)

FORM_FIELDS = ("variant", "host", "port", "name", "restart")
LATEST = 12


def ago(since: Any) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int((Clock().wall() - since).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def size(count: int) -> str:
    """Bytes for people: 1 kB is 1,000."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


templates.env.filters.update(ago=ago, size=size, address=show)


def _page(request: Request, template: str, values: dict[str, Any], status: int = 200) -> Response:
    response: Response = templates.TemplateResponse(request, template, values, status_code=status)
    return response


def dashboard(
    request: Request, status: int = 200, problem: Refusal | None = None, form: dict[str, str] | None = None
) -> Response:
    found = supervisor(request)
    servers = [ServerShape.of(server) for server in found.servers()]
    values = {"variant": "asyncio", "host": "127.0.0.1", "port": "", "name": "", "restart": "on-failure"}
    return _page(
        request,
        "dashboard.html",
        {
            "variants": list(found.variants.values()),
            "servers": servers,
            "running": sum(server.state is State.RUNNING for server in servers),
            "open": sum(server.connections.open for server in servers),
            "waiting": sum(server.connections.waiting for server in servers),
            "latest": found.chronicle.entries()[:LATEST],
            "problem": problem,
            "trouble": found.trouble,
            "form": values | (form or {}),
            "lessons": {variant.name: variant.title for variant in found.variants.values()},
            "guarded": request.app.state.rules.guarded,
            "may_change": role(request) == "owner",
        },
        status,
    )


def role(request: Request) -> Role:
    found: Role = request.state.role
    return found


def login_page(status: int, wrong: bool = False) -> Response:
    page = templates.env.get_template("login.html").render(wrong=wrong)
    return HTMLResponse(page, status_code=status)


def to_dashboard() -> Response:
    return RedirectResponse("/", status_code=303)


@router.get("/")
async def show_dashboard(request: Request) -> Response:
    page = dashboard(request)
    await supervisor(request).chronicle.shown()
    return page


@router.get("/docs")
async def show_api(request: Request) -> Response:
    return _page(request, "docs.html", {})


@router.get("/login")
async def show_login(request: Request) -> Response:
    return login_page(200) if request.app.state.rules.guarded else to_dashboard()


@router.post("/login")
async def log_in(request: Request, token: Annotated[str, Form()] = "") -> Response:
    rules: Rules = request.app.state.rules
    if not rules.guarded:
        return to_dashboard()
    if rules.role_of(token) is None:
        return login_page(401, wrong=True)
    response = to_dashboard()
    secure = request.url.scheme == "https"
    response.set_cookie(_cookie(request), session(token), httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    response = to_dashboard()
    response.delete_cookie(_cookie(request))
    return response


def _cookie(request: Request) -> str:
    return f"{COOKIE}-{request.url.port or request.url.scheme}"


@router.post("/ui/servers")
async def start_one(request: Request) -> Response:
    data = await request.form()
    form = {field: str(data.get(field, "")) for field in FORM_FIELDS}
    given: dict[str, Any] = {field: value for field, value in form.items() if value}
    port = form["port"].strip() or "0"
    given["port"] = int(port) if re.fullmatch("[0-9]{1,5}", port) else port
    try:
        await supervisor(request).create(ServerSpec.model_validate(given))
    except ValidationError as error:
        problem = explain({**one, "loc": ("body", *one["loc"])} for one in error.errors())
        return dashboard(request, problem.status, problem, form)
    except Refusal as refusal:
        return dashboard(request, refusal.status, refusal, form)
    return to_dashboard()


@router.post("/ui/servers/{name}/{action}")
async def act(request: Request, name: str, action: str) -> Response:
    found = supervisor(request)
    actions = {"start": found.start, "stop": found.stop, "restart": found.restart, "remove": found.remove}
    try:
        if action not in actions:
            raise Unknown(f"A server takes no {action!r}.", what="action")
        await actions[action](name)
    except Refusal as refusal:
        return dashboard(request, refusal.status, refusal)
    return to_dashboard()
