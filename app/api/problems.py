"""Refusals on their way out: one JSON shape, one handler an exception, and what the OpenAPI document says of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from app.errors import (
    ForeignHost,
    InternalError,
    Invalid,
    MethodNotAllowed,
    Refusal,
    ShuttingDown,
    TokenRequired,
    TooManyGuesses,
    Unknown,
)
from app.shapes.openapi import TAGS, Responses, described, say_items
from app.shapes.problems import Problem
from app.web.place import own_path
from app.web.problems import MEDIA_TYPE, explain, response

log = logging.getLogger("echodeck.api")


def responses(*kinds: type[Refusal]) -> Responses:
    """For a route's ``responses``: the refusals it may answer with, besides those that every route may."""
    found: Responses = {}
    everywhere: tuple[type[Refusal], ...] = (TokenRequired, TooManyGuesses, ForeignHost, ShuttingDown)
    for kind in dict.fromkeys((*kinds, *everywhere)):
        entry = found.setdefault(
            kind.status,
            {"description": "", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}},
        )
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{kind.name}`"]))
        if kind.status in (429, 503):
            entry["headers"] = described({"Retry-After": "Seconds after which to try again."})
    return found


async def known_parameters(connection: HTTPConnection) -> None:
    """A dependency of every route: a parameter that is misspelt must not be as if it were not there.

    Raises:
        Invalid: the route takes no such query parameter.
    """
    route = connection.scope.get("route")
    if isinstance(route, APIRoute | APIWebSocketRoute):
        known = [parameter.alias for parameter in route.dependant.query_params]
        if unknown := [name for name in connection.query_params if name not in known]:
            takes = f"this takes {', '.join(known)}" if known else "this takes none"
            raise Invalid(f"{unknown[0]}: there is no such query parameter; {takes}.", field=unknown[0])


def rest_router(*, prefix: str = "", tags: list[str | Enum] | None = None) -> APIRouter:
    """A router of REST, each of whose routes refuses a query parameter that it does not take."""
    return APIRouter(prefix=prefix, tags=tags, dependencies=[Depends(known_parameters)])


async def nowhere(websocket: WebSocket) -> None:
    """For WebSockets to any address without one."""
    path = own_path(websocket.scope)[1:]
    await websocket.send_denial_response(response(Unknown(f"There is no WebSocket at /{path}.", what="path")))


def install(app: FastAPI, as_page: Callable[[Request, Refusal], Awaitable[Response]]) -> None:
    """Every error of the app, its own and its framework's, becomes a problem; to a browser that is lost, a page."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        return response(refusal)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return response(explain(error.errors()))

    @app.exception_handler(WebSocketRequestValidationError)
    async def invalid_websocket(websocket: WebSocket, error: WebSocketRequestValidationError) -> Response:
        return response(explain(error.errors()))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return response(_not_taken(request))
        refusal = _translate(request, error)
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
            return await as_page(request, refusal)
        return response(refusal)


def _not_taken(request: Request) -> MethodNotAllowed:
    """Names what all routes of the path take together; the framework knows of the first one only."""
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE)
    taken = sorted({method for route in matching for method in getattr(route, "methods", None) or ()}) or ["GET"]
    return MethodNotAllowed(f"{request.url.path} takes {', '.join(taken)}.", headers={"Allow": ", ".join(taken)})


def _translate(request: Request, error: HTTPException) -> Refusal:
    path = request.url.path
    match error.status_code:
        case 404:
            return Unknown(f"There is nothing at {path}.", what="path")
        case status if status < 500:
            return Invalid(f"{HTTPStatus(status).phrase}: {error.detail}", field=None)
    log.error("%s %s failed: %s", request.method, path, error.detail)
    return InternalError("The app's log says more.")


def describe(app: FastAPI, complete: Callable[[], None]) -> None:
    """Complete the OpenAPI document: the shape of a problem, in place of the framework's own.

    ``complete`` is called before, and adds the routes that are not there yet.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        complete()
        document = generate()
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"token": []}]
        for foreign in ("HTTPValidationError", "ValidationError"):
            schemas.pop(foreign, None)
        document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
        say_items(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way the framework documents
