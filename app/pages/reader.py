"""What belongs to the reader: logging in and out, language and theme."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.errors import Refusal, TooManyGuesses, Unknown
from app.pages.page import LANGUAGE, THEME, PageRoute, bare
from app.web.place import FORWARDED_PROTO, at, own_path
from app.web.security import COOKIE, Rules, session
from app.web.words import LANGUAGES, MARKED, words

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

YEAR = 365 * 86_400


def login_page(
    request: Request, status: int, wrong: bool = False, problem: Refusal | None = None, then: str | None = None
) -> Response:
    """``problem`` is why a token is not even looked at. ``then``: where to go once logged in; by default where this
    page stands in the place of another."""
    path = own_path(request.scope)
    asked = path + (f"?{request.url.query}" if request.url.query else "")
    then = then or (asked if request.method == "GET" and path != "/login" else "/")
    return bare(request, "login.html", {"wrong": wrong, "problem": problem, "then": then}, status)


def to(path: str) -> Response:
    """There, if it is a path of ours."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return RedirectResponse(at(path if ours else "/"), status_code=303)


@router.get("/login")
async def show_login(request: Request) -> Response:
    return login_page(request, 200) if request.app.state.rules.guarded else to("/")


@router.post("/login")
async def log_in(
    request: Request, token: Annotated[str, Form()] = "", then: Annotated[str, Form(max_length=2000)] = "/"
) -> Response:
    rules: Rules = request.app.state.rules
    if not rules.guarded:
        return to("/")
    try:
        role = rules.role_of(token, request.client.host if request.client else "")
    except TooManyGuesses as refusal:
        return login_page(request, refusal.status, problem=refusal, then=then)
    if role is None:
        return login_page(request, 401, wrong=True, then=then)
    response = to(then)
    # Whoever says so, it does no harm: a cookie that is Secure goes over TLS only.
    secure = "https" in (request.url.scheme, request.headers.get(FORWARDED_PROTO, "").strip().lower())
    response.set_cookie(_cookie(request), session(token), path=at("/"), httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    response = to("/")
    response.delete_cookie(_cookie(request), path=at("/"))
    return response


def _cookie(request: Request) -> str:
    return f"{COOKIE}-{request.url.port or request.url.scheme}"


@router.get("/ui/choose")
async def choose(
    language: Annotated[str, Query(max_length=10)] = "",
    theme: Annotated[str, Query(max_length=10)] = "",
    back: Annotated[str, Query(max_length=500)] = "/",
) -> Response:
    """Remember the reader's choice; by GET, since a viewer may make it too and it changes nothing here."""
    response = to(back)
    if language in {*LANGUAGES, MARKED}:
        response.set_cookie(LANGUAGE, language, path=at("/"), max_age=YEAR, samesite="lax")
    if theme in {"auto", "light", "dark"}:
        response.set_cookie(THEME, theme, path=at("/"), max_age=YEAR, samesite="lax")
    return response


@router.get("/ui/words/{language}")
async def table(language: str) -> Response:
    """A language's catalogue, for the page's scripts."""
    if language not in LANGUAGES:
        raise Unknown(f"There is no language {language!r}.", what="language")
    found: dict[str, Any] = words(language).table
    return Response(json.dumps(found, ensure_ascii=False), media_type="application/json")
