"""A call passed on to the node where the server is, and its answer passed back."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import httpx
from starlette.background import BackgroundTask
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope

from app.errors import NobodyRunsIt
from app.fleet.peers import SECONDS_TO_ANSWER, Peers
from app.web.place import own_path

ROLE = "echodeck-role"
"""The header by which a node says that the one whose call it passes on may read only."""

PASSED_ON = ("accept", "accept-language", "content-type", "if-match", "last-event-id", "prefer")
PASSED_BACK = (
    *("content-type", "content-disposition", "location", "etag", "preference-applied"),
    *("retry-after", "cache-control", "www-authenticate", "allow"),
)
CHOSEN = re.compile(r"echodeck-(language|theme)=")
"""Cookies that are passed on: what a reader chose, and no session."""

STREAM_SECONDS = 40.0
"""A stream is never silent for longer."""


def path_of(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    raw = scope.get("raw_path") or b""
    path = raw.decode("latin-1").partition("?")[0] if raw else own_path(scope)
    if scope.get("root_path"):
        path = path.removeprefix(scope["root_path"])
    return path + (f"?{query}" if query else "")


def headers_of(scope: Scope) -> dict[str, str]:
    given = Headers(scope=scope)
    found = {name: given[name] for name in PASSED_ON if name in given}
    cookies = [one.strip() for one in given.get("cookie", "").split(";") if CHOSEN.match(one.strip())]
    if cookies:
        found["cookie"] = "; ".join(cookies)
    if scope.get("state", {}).get("role") == "viewer":
        found[ROLE] = "viewer"
    return found


async def passed_on(node: str, peers: Peers, scope: Scope, body: bytes) -> httpx.Response:
    """The node's answer, yet to be read.

    Raises:
        NodeLost, NodeSilent: it has none.
    """
    streams = own_path(scope).endswith("/tap")
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("drain", ["0"])[0]
    drain = float(asked) if re.fullmatch(r"\d{1,4}(\.\d{0,6})?", asked) else 0.0
    return await peers.ask(
        node,
        scope["method"],
        path_of(scope),
        content=body,
        headers=headers_of(scope),
        seconds=STREAM_SECONDS if streams else SECONDS_TO_ANSWER + drain,
        stream=True,
    )


async def has_it_no_more(answer: httpx.Response) -> bool:
    """Whether a node says that it has given the server up; what shows a page says so by its status alone."""
    if answer.status_code != NobodyRunsIt.status:
        return False
    if "html" in answer.headers.get("content-type", ""):
        return answer.request.method == "GET"
    await answer.aread()
    try:
        return str(answer.json()["type"]).endswith(f"/{NobodyRunsIt.name}")
    except (ValueError, KeyError, TypeError):
        return False


def passed_back(answer: httpx.Response) -> Response:
    headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
    if "content-length" in answer.headers and "content-encoding" not in answer.headers:
        headers["content-length"] = answer.headers["content-length"]
    if "content-encoding" in answer.headers:
        headers["content-encoding"] = answer.headers["content-encoding"]
    if answer.is_closed:  # it is all here
        headers.pop("content-encoding", None)
        headers.pop("content-length", None)
        return Response(answer.content, answer.status_code, headers)
    return StreamingResponse(answer.aiter_raw(), answer.status_code, headers, background=BackgroundTask(answer.aclose))
