"""The only entrance to the app, as ASGI middleware: the rules of ``security``, bounded bodies, headers of all answers.

Plain ASGI, because Starlette's BaseHTTPMiddleware does not see WebSockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge, InternalError, Refusal, ShuttingDown, TokenRequired, TooManyGuesses
from app.web.place import Place, own_path
from app.web.problems import response
from app.web.security import RESPONSE_HEADERS, SAFE_METHODS, Rules

log = logging.getLogger("echodeck.gate")

KEPT = "public, max-age=31536000, immutable"
"""For addresses that name the build: what is there never changes."""

RETRY_AFTER = "2"
"""Seconds, with every 503 that does not say better, those of pages included (RFC 9110, 15.6.4)."""

MOST_BODY = 65_536
"""Bytes of a request's body; the largest that any route needs is a server's spec."""

MOST_DISCARDED = 64 * 1024 * 1024
"""Bytes that are still read of a body that is too large, so that its sender receives the refusal."""


class Gate:
    """``login`` makes the page that a browser gets where a program gets 401 or 429 as a problem; ``build`` is named in
    the addresses of what may be kept."""

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules,
        place: Place,
        login: Callable[[Scope, Refusal], Response],
        build: Callable[[], str],
    ) -> None:
        self._app = app
        self._rules = rules
        self._place = place
        self._login = login
        self._build = build

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = self._place.of(scope)
        path = own_path(scope)
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in RESPONSE_HEADERS.items():
                    headers[name] = value
                if (where := headers.get("location")) is not None:
                    headers["location"] = _relative(where, scope)
                headers.setdefault("cache-control", self._keeping(path, message["status"]))
                if message["status"] == 503:
                    headers.setdefault("retry-after", RETRY_AFTER)
            elif message["type"].startswith("websocket."):
                begun = True
            await send(message)

        headers = Headers(scope=scope)
        try:
            client = (scope.get("client") or [""])[0]
            role = self._rules.check(scope.get("method", "WEBSOCKET"), path, headers, client)
            scope.setdefault("state", {})["role"] = role
            if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
                whole = await _whole_body(receive)
                if whole is None:
                    return
                receive = whole
            if scope.get("method") == "HEAD":  # as GET; the server leaves the body out
                scope = {**scope, "method": "GET"}
                scope["state"]["head"] = True
            await self._app(scope, receive, send_with_headers)
        except Refusal as refusal:
            to_log_in = isinstance(refusal, TokenRequired | TooManyGuesses)
            wants_page = to_log_in and "text/html" in headers.get("accept", "")
            answer = self._login(scope, refusal) if wants_page else response(refusal)
            await _answer(answer, scope, receive, send_with_headers)
        except asyncio.CancelledError:  # uvicorn cancels requests that take too long, and only at its end
            if begun:
                return
            ending = ShuttingDown("The app is shutting down; this request was not finished.")
            await _answer(response(ending), scope, receive, send_with_headers)
        except Exception:
            if begun:
                raise
            log.exception("%s %s failed", scope.get("method", "WEBSOCKET"), scope["path"])
            error = InternalError("This is a bug; the app's log has its traceback.")
            await _answer(response(error), scope, receive, send_with_headers)

    def _keeping(self, path: str, status: int) -> str:
        if not path.startswith("/static/"):
            return "no-store"
        is_kept = path.startswith(f"/static/{self._build()}/") and status in (200, 206, 304)
        return KEPT if is_kept else "no-cache"


def _relative(location: str, scope: Scope) -> str:
    """Without scheme and host, which a proxy that nobody has named may have hidden from us (RFC 9110, 10.2.2)."""
    parts = urlsplit(location)
    ours = parts.netloc == Headers(scope=scope).get("host", "")
    return urlunsplit(("", "", parts.path, parts.query, parts.fragment)) if ours and parts.path else location


async def _answer(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})  # before accept: the server answers 403
    else:
        await answer(scope, receive, send)


async def _whole_body(receive: Receive) -> Receive | None:
    """The body as one message; None if the client disconnected before its end, so that nothing is done."""
    body, size, more = bytearray(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        more = message.get("more_body", False)
        if size <= MOST_BODY:
            body += chunk
        elif not more or size > MOST_DISCARDED:
            raise BodyTooLarge(f"The body is longer than {MOST_BODY} bytes.", limit=MOST_BODY)
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return replay
