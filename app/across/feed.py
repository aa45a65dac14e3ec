"""The feeds of all nodes as one: what each of them tells is put into one view, which serves every follower here.

A thing belongs to the node that told of it last. When a server moves, its new node may tell of it before the old one
tells that it is gone; that is then nothing new.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import httpx

from app.across.nodes import from_afar
from app.errors import NodeLost, NodeSilent, Refusal
from app.fleet.fleet import Fleet
from app.watching.feed import KEYS, TOPICS, Feed
from app.watching.view import View

log = logging.getLogger("echodeck.feed")

SECONDS_FOR_FIRST = 1.0
"""That a new follower waits for nodes that are slow to tell how they are."""

SECONDS_OF_SILENCE = 20.0
AGAIN_AFTER = 0.5
REMOVED = "-removed"

PASSES_ON = frozenset(KEYS) | {"loop"}
LIVE = ("server", "connection")
"""Kinds of things that are gone with their node; what has happened there, has happened."""


class MergedWatch:
    """As ``watching.watch.Watch``, of a whole fleet. ``own`` is the feed of this node alone."""

    def __init__(self, fleet: Fleet, own: Feed, view: View) -> None:
        self._fleet = fleet
        self._own = own
        self._view = view
        self._sources: dict[str, asyncio.Task[None]] = {}
        self._first: dict[str, asyncio.Event] = {}
        self._of: dict[tuple[str, str], str] = {}
        self._began = False

    def begin(self) -> None:
        self._began = False

    def end(self) -> None:
        for task in self._sources.values():
            task.cancel()
        self._sources.clear()
        self._first.clear()

    async def look(self) -> None:
        nodes = {self._fleet.node, *self._fleet.others()}
        for node in nodes - self._sources.keys():
            self._first[node] = asyncio.Event()
            self._sources[node] = asyncio.create_task(
                self._follow(node), name=f"feed: {node}", context=contextvars.Context()
            )
        for node in self._sources.keys() - nodes:
            self._sources.pop(node).cancel()
            self._first.pop(node)
            self._lose(node)
        if not self._began:
            self._began = True
            told = [asyncio.ensure_future(event.wait()) for event in self._first.values()]
            _, late = await asyncio.wait(told, timeout=SECONDS_FOR_FIRST)
            for one in late:
                one.cancel()
        for name, (state, value) in self._fleet.nodes().items():
            if state == "lost":
                self._view.put("node", name, None, from_afar(name, state, value).model_dump_json())
        self._look_at_waiting()

    def _look_at_waiting(self) -> None:
        """Servers that no node has are told of by none."""
        elsewhere = {key for (kind, key), node in self._of.items() if kind == "server" and node}
        silent = [node for node, first in self._first.items() if not first.is_set()]
        waiting = {item["name"]: item for item in self._fleet.waiting.all(elsewhere, silent)}
        for name, item in waiting.items():
            if self._of.get(("server", name)) != "":
                self._of["server", name] = ""
                self._view.put("server", name, name, json.dumps(item, separators=(",", ":")))
        for kind, key in [place for place, node in self._of.items() if node == ""]:
            if key not in waiting and key not in self._fleet.picture.servers:
                del self._of[kind, key]
                self._view.drop(kind, key)

    def _lose(self, node: str) -> None:
        for kind, key in [place for place, of in self._of.items() if of == node and place[0] in LIVE]:
            del self._of[kind, key]
            if kind != "server" or key not in self._fleet.picture.servers:
                self._view.drop(kind, key)  # else it waits, and is told of as waiting

    async def _follow(self, node: str) -> None:
        while True:
            try:
                async with aclosing(self._events(node)) as events:
                    async for name, data in events:
                        self._take(node, name, data)
            except (NodeLost, NodeSilent, TimeoutError, httpx.HTTPError) as reason:
                log.debug("the feed of %s: %s", node, reason)
            except Exception:
                log.exception("the feed of %s cannot be followed", node)
            self._first[node].clear()
            await asyncio.sleep(AGAIN_AFTER)

    async def _events(self, node: str) -> Any:
        if node == self._fleet.node:
            async with aclosing(self._own.follow()) as batches:
                async for batch in batches:
                    for event in batch:
                        yield event.name, event.data
            return
        answer = await self._fleet.peers.ask(node, "GET", "/events", seconds=SECONDS_OF_SILENCE, stream=True)
        try:
            if answer.status_code != 200:
                raise NodeLost(f"its feed answers {answer.status_code}", node=node)
            name = ""
            async for line in _lines(answer.aiter_lines()):
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, line[6:]
        finally:
            with suppress(Refusal):
                await answer.aclose()

    def _take(self, node: str, name: str, data: str) -> None:
        if name == "snapshot":
            self._take_all(node, json.loads(data))
            self._first[node].set()
            return
        kind = name.removesuffix(REMOVED)
        if kind not in PASSES_ON:
            return
        if kind == "loop":
            if node == self._fleet.node:
                self._view.put("loop", "loop", None, data)
            return
        found = json.loads(data)
        key = str(found[KEYS[kind]])
        if name.endswith(REMOVED):
            self._drop(node, kind, key)
        else:
            self._put(node, kind, key, found, data)

    def _take_all(self, node: str, snapshot: dict[str, Any]) -> None:
        here = set()
        for topic, kind in TOPICS.items():
            if kind == "loop":
                if node == self._fleet.node and snapshot.get(topic):
                    self._view.put("loop", "loop", None, json.dumps(snapshot[topic], separators=(",", ":")))
                continue
            for found in snapshot.get(topic, []):
                key = str(found[KEYS[kind]])
                here.add((kind, key))
                self._put(node, kind, key, found, json.dumps(found, separators=(",", ":")))
        for kind, key in [place for place, of in self._of.items() if of == node and place not in here]:
            self._drop(node, kind, key)

    def _put(self, node: str, kind: str, key: str, found: dict[str, Any], data: str) -> None:
        self._of[kind, key] = node
        self._view.put(kind, key, key if kind == "server" else found.get("server"), data)

    def _drop(self, node: str, kind: str, key: str) -> None:
        if self._of.get((kind, key)) == node:
            del self._of[kind, key]
            if kind != "server" or self._fleet.waiting.one(key) is None:
                self._view.drop(kind, key)


async def _lines(stream: AsyncIterator[str]) -> AsyncIterator[str]:
    """Raises:
    TimeoutError: nothing came, not even what is sent to show that somebody is there.
    """
    while True:
        async with asyncio.timeout(SECONDS_OF_SILENCE):
            try:
                line = await anext(stream)
            except StopAsyncIteration:
                return
        yield line
