"""Lists over all nodes: each is asked for its own part, and one that does not answer in time is named."""

from __future__ import annotations

import asyncio
import binascii
import heapq
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.types import ASGIApp, Scope

from app.across.forwarding import headers_of
from app.errors import Invalid, NodeLost, NodeSilent, Unknown
from app.fleet.fleet import Fleet
from app.fleet.hop import HOP
from app.web.parameters import cursor

SECONDS = 1.0
"""That a node has for its part."""

BY_TIME = frozenset({"/exceptions", "/journal", "/recordings"})
MERGED = frozenset({"/servers", "/connections", *BY_TIME})


Cursors = Mapping[str, str | None]
PutTogether = tuple[list[dict[str, Any]], dict[str, str | None]]
"""The items of a page, and by node where it goes on."""


@dataclass(frozen=True)
class Part:
    """A node's items, and its cursor for what follows them."""

    items: list[dict[str, Any]]
    next: str | None


class Lists:
    """``app`` is this node's own, inside of the rules for who may call; to be set before anybody asks."""

    def __init__(self, fleet: Fleet) -> None:
        self.app: ASGIApp | None = None
        self._fleet = fleet
        transport = httpx.ASGITransport(app=self._inside, raise_app_exceptions=True)
        self._here = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers={HOP: fleet.node})

    async def _inside(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)

    async def get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The list as one node has it, of all of them.

        Raises:
            Refusal: what this node says of the parameters.
        """
        cursors = _cursors(path, params.get("after"))
        asked = {name: value for name, value in params.items() if name != "after"}
        nodes = sorted({self._fleet.node, *self._fleet.others(), *_needed(self._fleet)})
        if cursors is not None:
            nodes = [node for node in nodes if node in cursors]
        given = asked.get("limit", "")  # what is no number, each node refuses
        is_number = given.isascii() and given.isdecimal()
        limit = int(given) if is_number else 100 if path in BY_TIME else 1000
        parts: dict[str, Part] = {}
        missing: list[str] = []
        unknown: list[Unknown] = []
        if path == "/servers" and limit > 0 and (is_number or not given):
            asks = [{**asked, "limit": str(room)} for room in self._rooms(nodes, limit)]
        else:
            asks = [asked] * len(nodes)
        answers = await asyncio.gather(
            *(self._part(node, path, ask, (cursors or {}).get(node)) for node, ask in zip(nodes, asks, strict=True)),
            return_exceptions=True,
        )
        for node, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, Part):
                parts[node] = answer
            elif isinstance(answer, Unknown):
                unknown.append(answer)
                parts[node] = Part([], None)
            elif isinstance(answer, NodeLost | NodeSilent):
                missing.append(node)
            else:
                raise answer
        known = params.get("server") in self._fleet.picture.servers
        if unknown and len(unknown) == len(parts) and not known:
            raise unknown[0]
        put_together = _by_time if path in BY_TIME else _in_turn
        items, following = put_together(parts, limit, cursors or {})
        if path == "/servers" and not following:
            items += self._waiting(parts, missing, cursors)
        return {"items": items, "next": _cursor(path, following) if following else None, "missing": missing}

    def _rooms(self, nodes: list[str], limit: int) -> list[int]:
        """How many servers to ask each node for: those for which the nodes before it should leave room, and at least
        one, as an answer says that it is there. A node that has fewer than it seemed makes the page shorter."""
        load, room, rooms = self._fleet.load(), limit, []
        for node in nodes:
            rooms.append(max(1, room) if limit <= 1000 else limit)  # what is too much, each node refuses
            room -= load.get(node, 0)
        return rooms

    def _waiting(self, parts: Mapping[str, Part], missing: list[str], cursors: Cursors | None) -> list[dict[str, Any]]:
        """Servers that no node has. On a later page, of nodes that are through already the engine's word is taken."""
        told = {item["name"] for part in parts.values() for item in part.items}
        earlier = [] if cursors is None else list(self._fleet.picture.nodes)
        return self._fleet.waiting.all(told, [*missing, *earlier])

    async def ask(self, node: str, method: str, path: str, scope: Scope, body: bytes) -> httpx.Response:
        """What this node or another one answers to a call, for that node alone.

        Raises:
            NodeLost, NodeSilent: there is no answer.
        """
        headers = headers_of(scope)
        if node == self._fleet.node:
            return await self._here.request(method, path, content=body, headers=headers)
        return await self._fleet.peers.ask(node, method, path, content=body, headers=headers)

    async def _part(self, node: str, path: str, params: dict[str, str], after: str | None) -> Part:
        asked = {**params, "after": after} if after else params
        if node == self._fleet.node:
            response = await self._here.get(path, params=asked)
        else:
            try:
                async with asyncio.timeout(SECONDS):
                    response = await self._fleet.peers.ask(node, "GET", path, params=asked, seconds=SECONDS)
            except TimeoutError:
                raise NodeSilent(f"The node {node!r} did not answer.", node=node) from None
        if response.status_code == 404:
            raise Unknown(response.json()["detail"], what="server")
        if response.status_code == 422:
            problem = response.json()
            raise Invalid(problem["detail"], field=problem.get("field"), errors=problem.get("errors"))
        if response.status_code != 200:
            raise NodeLost(f"The node {node!r} answers {response.status_code}.", node=node)
        found = json.loads(response.content)
        return Part(found["items"], found["next"])


def _needed(fleet: Fleet) -> set[str]:
    """Nodes without which the lists are not whole: those that were lost, as long as a server is pinned to them or
    their journal is not elsewhere."""
    return {name for name, (state, _) in fleet.nodes().items() if state == "lost"}


def _in_turn(
    parts: Mapping[str, Part], limit: int, cursors: Cursors
) -> tuple[list[dict[str, Any]], dict[str, str | None]]:
    """All of one node, then of the next. What no longer has room is asked for again, from where it begins."""
    items: list[dict[str, Any]] = []
    following: dict[str, str | None] = {}
    for node, part in parts.items():
        room = limit - len(items)
        if len(part.items) <= room:
            items += part.items
            if part.next:
                following[node] = part.next
        else:
            following[node] = cursors.get(node)
    return items, following


def _by_time(
    parts: Mapping[str, Part], limit: int, cursors: Cursors
) -> tuple[list[dict[str, Any]], dict[str, str | None]]:
    """The newest first. Of each node either all is taken, or a part that ends where its own page would end."""
    merged = heapq.merge(
        *([(item["at"], node, number, item) for number, item in enumerate(part.items)] for node, part in parts.items()),
        key=lambda one: (one[0], one[1]),
        reverse=True,
    )
    items: list[dict[str, Any]] = []
    counts = dict.fromkeys(parts, 0)
    for _, node, number, item in merged:
        if len(items) == limit:
            break
        items.append(item)
        counts[node] = number + 1
    following: dict[str, str | None] = {}
    for node, part in parts.items():
        if counts[node] < len(part.items):
            following[node] = _ends_after(part.items[counts[node] - 1]) if counts[node] else cursors.get(node)
        elif part.next:
            following[node] = part.next
    return items, following


def _ends_after(item: dict[str, Any]) -> str:
    kind = "exceptions" if "traceback" in item else "recordings" if "folding" in item else "journal"
    return cursor(kind, int(str(item["id"]).rpartition(".")[2]))


def _cursor(path: str, following: Mapping[str, str | None]) -> str:
    text = json.dumps([path, following], separators=(",", ":")).encode()
    return urlsafe_b64encode(text).decode().rstrip("=")


def _cursors(path: str, after: str | None) -> dict[str, str | None] | None:
    """Where to go on, by node; None for the beginning.

    Raises:
        Invalid: no cursor of this list.
    """
    if not after:
        return None
    try:
        of, found = json.loads(urlsafe_b64decode(after.encode() + b"=" * (-len(after) % 4)))
        if of == path and all(isinstance(value, str | None) for value in found.values()):
            return dict(found)
    except (binascii.Error, UnicodeError, ValueError, AttributeError, TypeError):
        pass
    raise Invalid("after: not a cursor of this list; take it from `next`.", field="after")
