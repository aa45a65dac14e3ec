"""Every call works at every node: what is about a server goes to the node that has it, lists are put together.

ASGI middleware behind the rules for who may call. A call that another node has passed on is answered here, whatever it
is about: one hop, never two.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.across.forwarding import ROLE, has_it_no_more, passed_back, passed_on, path_of
from app.across.lists import MERGED, Lists
from app.across.tunnel import TUNNEL, Tunnel
from app.errors import NobodyRunsIt, NodeLost, Refusal
from app.fleet.fleet import Fleet
from app.fleet.hop import HOP
from app.supervising.precondition import IfMatch
from app.supervising.spec import ServerPatch
from app.web.place import own_path
from app.web.problems import response

OF_A_SERVER = re.compile(r"/(?:ui/)?servers/(?P<name>[^/]+)(?P<rest>/.*)?")
OF_A_NUMBER = re.compile(
    r"/(?:connections|exceptions|(?:ui/)?recordings|(?:ui/)?comparisons|lab/(?:experiments|results)|ui/lab/experiments)"
    r"/(?P<node>[^/]+)\.[^/.]+(?:/.*)?"
)
OF_A_NODE = re.compile(r"/(?:ui/)?nodes/(?P<node>[^/]+)/(?:drain|resume)")
OF_ALL_NODES = {("DELETE", "/exceptions"), ("POST", "/ui/exceptions/clear")}

SECONDS_TO_BE_TAKEN = 6.0
"""For which a call waits until a server that nobody has is taken."""


class Passing:
    def __init__(self, app: ASGIApp, fleet: Fleet, lists: Lists) -> None:
        self._app = app
        self._fleet = fleet
        self._whole: Any = None
        self._lists = lists
        lists.app = self._inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        self._whole = scope["app"]
        headers = Headers(scope=scope)
        if HOP in headers:
            if headers.get(ROLE) == "viewer":
                scope.setdefault("state", {})["role"] = "viewer"
            await self._app(scope, receive, send)
            return
        try:
            await self._pass(scope, receive, send)
        except Refusal as refusal:
            if scope["type"] == "websocket":
                raise
            await response(refusal)(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What this node alone answers, to a caller who was let in."""
        await self._app({**scope, "app": self._whole}, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = own_path(scope), scope.get("method", "WEBSOCKET")
        if method == "GET" and path in MERGED:
            params = QueryParams(scope.get("query_string", b""))
            if len(params) == len(params.multi_items()) and "node" not in params:
                await self._answer(await self._lists.get(path, dict(params)), scope, receive, send)
                return
        if method == "POST" and path == "/servers":
            await self._create(scope, receive, send)
            return
        if method == "POST" and path == "/ui/servers":
            await self._create_by_form(scope, receive, send)
            return
        node = await self._node_for(scope, receive, send, path, method)
        if node is None:
            return
        if (method, path) in OF_ALL_NODES:
            body = await Request(scope, receive).body()
            server = QueryParams(scope["query_string"]).get("server")
            if path.startswith("/ui/"):
                server = str((await Request(scope, _replaying(body, receive)).form()).get("server") or "") or None
            await self._clear_elsewhere(server)
            receive = _replaying(body, receive)
        if node == self._fleet.node:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._tunnel(node, scope, receive, send)
        else:
            await self._forward(node, scope, receive, send)

    async def _forward(self, node: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        answer = await self._ask_holder(node, scope, lambda one: passed_on(one, self._fleet.peers, scope, body))
        await (passed_back(answer[1]) if answer else self._app)(scope, _replaying(body, receive), send)

    async def _ask_holder(
        self, node: str, scope: Scope, ask: Callable[[str], Awaitable[httpx.Response]]
    ) -> tuple[str, httpx.Response] | None:
        """Who answers, and the answer; None if it is this node that has the server by now.

        Where a node has just given the server up, whoever has it then is asked instead.
        """
        match = OF_A_SERVER.fullmatch(own_path(scope))
        until = asyncio.get_running_loop().time() + SECONDS_TO_BE_TAKEN
        while True:
            answer = await ask(node)
            if match is None or not await has_it_no_more(answer) or asyncio.get_running_loop().time() >= until:
                return node, answer
            await asyncio.sleep(0.1)
            if self._fleet.supervisor.has(match["name"]):
                return None
            holder = self._fleet.holder(match["name"])
            node = holder if holder not in (None, self._fleet.node) else node

    async def _node_for(self, scope: Scope, receive: Receive, send: Send, path: str, method: str) -> str | None:
        """Who is to answer; None if it was answered here."""
        own = self._fleet.node
        if match := OF_A_SERVER.fullmatch(path):
            return await self._holder(match["name"], match["rest"] or "", scope, receive, send, method)
        if match := OF_A_NUMBER.fullmatch(path):
            return match["node"] if match["node"] in self._fleet.nodes() else own
        if match := OF_A_NODE.fullmatch(path):
            self._fleet.check_node(match["node"])
            return match["node"]
        params = QueryParams(scope.get("query_string", b""))
        if (name := params.get("server")) is not None and path.startswith("/loop"):
            return self._fleet.holder(name) or own
        if (node := params.get("node")) is not None and method in ("GET", "PATCH"):
            self._fleet.check_node(node)
            scope["query_string"] = _without_node(scope["query_string"])
            return node
        return own

    async def _holder(
        self, name: str, rest: str, scope: Scope, receive: Receive, send: Send, method: str
    ) -> str | None:
        fleet = self._fleet
        if name not in fleet.picture.servers:
            return fleet.node  # which says that there is none
        shape = fleet.waiting.one(name)
        if shape is not None:
            if method == "GET" and own_path(scope) == f"/servers/{name}":
                await self._answer(shape, scope, receive, send, {"ETag": fleet.waiting.etag(name)})
                return None
            if shape["on"] is not None:
                if await self._is_done_here(name, rest, scope, receive, send, method):
                    return None
                raise NodeLost(f"{name!r} is pinned to the node {shape['on']!r}, which is lost.", node=shape["on"])
            await self._until_taken(name)
        return fleet.holder(name) or fleet.node

    async def _is_done_here(
        self, name: str, rest: str, scope: Scope, receive: Receive, send: Send, method: str
    ) -> bool:
        """What can be done to a server whose node is gone: to remove it, and to move it."""
        if rest:
            return False
        if_match = IfMatch.of(Headers(scope=scope).getlist("if-match"))
        if method == "DELETE":
            await self._fleet.waiting.remove(name, if_match)
            await Response(status_code=204)(scope, receive, send)
            return True
        if method == "PATCH":
            body = await Request(scope, receive).body()
            try:
                patch = ServerPatch.model_validate_json(body)
            except ValidationError:
                return False
            if patch.model_fields_set == {"on"}:
                await self._fleet.waiting.move(name, patch.on, if_match)
                etag = {"ETag": self._fleet.waiting.etag(name)}
                await self._answer(self._fleet.waiting.one(name) or {}, scope, receive, send, etag)
                return True
        return False

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """On the node that it is pinned to, or on the one with the least, or one that can have its port."""
        body = await Request(scope, receive).body()
        try:
            on = json.loads(body).get("on")
        except (ValueError, AttributeError):
            on = None
        nodes = [on] if isinstance(on, str) and on in self._fleet.nodes() else self._fleet.takers()
        answer = None
        for node in nodes if on is None or nodes == [on] else [self._fleet.node]:
            answer = await self._lists.ask(node, "POST", "/servers", scope, body)
            if answer.status_code != 409 or "port-taken" not in answer.text:
                break
        assert answer is not None
        await passed_back(answer)(scope, receive, send)

    async def _create_by_form(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        on = (await Request(scope, _replaying(body, receive)).form()).get("on")
        node = on if isinstance(on, str) and on in self._fleet.nodes() else self._fleet.takers()[0]
        if node == self._fleet.node:
            await self._app(scope, _replaying(body, receive), send)
        else:
            await self._forward(node, scope, _replaying(body, receive), send)

    async def _until_taken(self, name: str) -> None:
        until = asyncio.get_running_loop().time() + SECONDS_TO_BE_TAKEN
        while self._fleet.waiting.one(name) is not None:
            if asyncio.get_running_loop().time() >= until:
                raise NobodyRunsIt(f"No node has taken {name!r} yet.", node=None, headers={"Retry-After": "1"})
            await asyncio.sleep(0.05)

    async def _clear_elsewhere(self, server: str | None) -> None:
        """The exceptions of this server, or all, on the other nodes; one that knows nothing of it has none."""
        params = {"server": server} if server else {}
        await asyncio.gather(
            *(self._fleet.peers.ask(node, "DELETE", "/exceptions", params=params) for node in self._fleet.others()),
            return_exceptions=True,
        )

    async def _tunnel(self, node: str, scope: Scope, receive: Receive, send: Send) -> None:
        if match := OF_A_SERVER.fullmatch(own_path(scope)):
            path = f"/servers/{match['name']}"
            found = await self._ask_holder(node, scope, lambda one: self._fleet.peers.ask(one, "GET", path))
            if found is None:
                await self._app(scope, receive, send)
                return
            node = found[0]
        give_away: Any = scope.get("extensions", {}).get(TUNNEL)
        tunnel = await Tunnel.open(scope, node, self._fleet.peers, path_of(scope))
        give_away(tunnel)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def _answer(
        self, found: dict[str, Any], scope: Scope, receive: Receive, send: Send, headers: dict[str, str] | None = None
    ) -> None:
        await _Compact(found, headers=headers)(scope, receive, send)


class _Compact(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _replaying(body: bytes, receive: Receive) -> Receive:
    """What was received already, again, and then what comes."""
    left = [body]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay


def _without_node(query: bytes) -> bytes:
    return b"&".join(part for part in query.split(b"&") if not part.startswith(b"node="))
