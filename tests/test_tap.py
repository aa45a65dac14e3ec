"""A tap: one connection's bytes, both ways, while somebody watches."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.connections.client import Client as Inside
from app.supervising.supervisor import Supervisor
from app.watching import tap as module
from app.watching.event import Event
from app.watching.tap import watch
from servers import Connection, Variant
from servers._connection import ShownConnection
from tests.conftest import VARIANTS, Start
from tests.helpers import PATIENCE, Client, until
from tests.test_streams import served

keeps_clients = pytest.mark.parametrize(
    "variant", [v for v in VARIANTS.values() if v.wire.answers != "nothing"], ids=lambda variant: variant.name
)


class Watcher:
    def __init__(self, client: Inside, supervisor: Supervisor) -> None:
        self.events: list[Event] = []
        self.batches = watch(client, supervisor.roster)

    async def hear(self) -> None:
        async with asyncio.timeout(PATIENCE):
            self.events += await anext(self.batches)

    def seen(self, direction: str) -> bytes:
        told = [json.loads(event.data) for event in self.events if event.name == "bytes"]
        return b"".join(b64decode(one["data"]) for one in told if one["direction"] == direction)

    async def hear_until(self, direction: str, data: bytes) -> None:
        while self.seen(direction) != data:
            await self.hear()


@asynccontextmanager
async def watching(client: Inside, supervisor: Supervisor) -> AsyncIterator[Watcher]:
    watcher = Watcher(client, supervisor)
    async with aclosing(watcher.batches):
        await watcher.hear()
        yield watcher


async def inside(server: Any) -> Inside:
    await until(lambda: server.clients, "the client is in")
    found: Inside = server.clients[0]
    return found


@keeps_clients
@pytest.mark.parametrize("blocked_before", [True, False])
async def test_both_directions_are_seen_from_the_moment_on(
    supervisor: Supervisor, start: Start, variant: Variant, blocked_before: bool
) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        if not blocked_before and variant.wire.answers == "each chunk":
            await client.ask(b"before", variant.wire.prefix + b"before")
        async with watching(await inside(server), supervisor) as watcher:
            assert [event.name for event in watcher.events] == ["opened"]
            assert json.loads(watcher.events[0].data)["server"] == server.name
            answer = variant.wire.prefix + b"hello\nquit\n"
            await client.ask(b"hello\nquit\n", answer)
            await watcher.hear_until("in", b"hello\nquit\n")
            await watcher.hear_until("out", answer)
            times = [json.loads(event.data)["at"] for event in watcher.events if event.name == "bytes"]
            assert times == sorted(times, key=datetime.fromisoformat)


async def test_the_end_of_the_connection_is_the_end_of_the_tap(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"before", b"before")
        async with watching(await inside(server), supervisor) as watcher:
            await client.send(b"boom\n")
            await watcher.hear_until("in", b"boom\n")
            while watcher.events[-1].name != "closed":
                await watcher.hear()
            assert json.loads(watcher.events[-1].data) == {"bytes_in": 11, "bytes_out": 6}
            with pytest.raises(StopAsyncIteration):
                await anext(watcher.batches)


@pytest.mark.parametrize("variant", ["asyncio", "selectors", "nonblocking"])
async def test_without_a_tap_nothing_is_in_the_way(supervisor: Supervisor, start: Start, variant: str) -> None:
    server = await start(variant)
    async with await Client.to(server.spec.port):
        client = await inside(server)
        assert type(client.connection) is Connection
        async with watching(client, supervisor), watching(client, supervisor):
            assert type(client.connection) is ShownConnection
        assert type(client.connection) is Connection
        assert client.connection.tap is None
        assert client.gone == ()


async def test_several_taps_see_the_same_and_leave_alone(supervisor: Supervisor, start: Start) -> None:
    server = await start("threads")
    async with await Client.to(server.spec.port) as client:
        one_inside = await inside(server)
        async with watching(one_inside, supervisor) as one:
            async with watching(one_inside, supervisor) as other:
                await client.ask(b"both", b"both")
                for watcher in (one, other):
                    await watcher.hear_until("out", b"both")
            await client.ask(b"one", b"one")
            await one.hear_until("out", b"bothone")
        await client.ask(b"nobody", b"nobody")
        assert one_inside.connection.tap is None


async def test_what_a_slow_watcher_has_no_room_for_is_said_to_be_lost(
    supervisor: Supervisor, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 1000)
    server = await start("asyncio")
    async with await Client.to(server.spec.port) as client, watching(await inside(server), supervisor) as watcher:
        for _ in range(10):
            await client.ask(b"x" * 300, b"x" * 300)
        while not [event for event in watcher.events if event.name == "lost"]:
            await watcher.hear()
        lost = {
            json.loads(e.data)["direction"]: json.loads(e.data)["bytes"] for e in watcher.events if e.name == "lost"
        }
        assert len(watcher.seen("in")) + len(watcher.seen("out")) <= 1000
        assert (len(watcher.seen("in")) + lost["in"], len(watcher.seen("out")) + lost["out"]) == (3000, 3000)
        await client.ask(b"more", b"more")
        while not watcher.seen("out").endswith(b"more"):
            await watcher.hear()


async def test_small_chunks_are_bounded_too(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    async with await Client.to(server.spec.port) as client, watching(await inside(server), supervisor) as watcher:
        for _ in range(4000):
            await client.ask(b"x", b"x")
        before = len(watcher.events)
        await watcher.hear()
        assert len(watcher.events) - before <= module.AT_ONCE
        while not [event for event in watcher.events if event.name == "lost"]:
            await watcher.hear()
        assert len(watcher.events) < module.MOST_HELD / module.OVERHEAD + 10


async def test_large_chunks_come_in_pieces(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio", recv_size=500_000)
    data = bytes(range(256)) * 1000
    async with await Client.to(server.spec.port) as client, watching(await inside(server), supervisor) as watcher:
        await client.ask(data, data)
        await watcher.hear_until("in", data)
        assert max(len(event.data) for event in watcher.events) < 2 * module.PIECE


async def test_over_http(app: FastAPI, begin: Start) -> None:
    server = await begin("blocking")
    async with (
        await Client.to(server.spec.port) as client,
        served(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await until(lambda: server.clients, "he is in")
        async with await Client.to(server.spec.port):
            while len(rows := (await http.get("/connections")).json()["items"]) < 2:
                await asyncio.sleep(0.01)
            refused = await http.get(f"/connections/{rows[1]['id']}/tap")
            assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-accepted")
            async with http.stream("GET", f"/connections/{rows[0]['id']}/tap") as stream:
                assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
                await until(lambda: server.clients[0].connection.tap is not None, "it is tapped")
                await client.ask(b"quit\n", b"quit\n")
                async with asyncio.timeout(PATIENCE):
                    text = "".join([line + "\n" async for line in stream.aiter_lines()])
            assert [line for line in text.splitlines() if line.startswith("event")] == [
                "event: opened",
                "event: bytes",
                "event: bytes",
                "event: closed",
            ]
        assert (await http.get(f"/connections/{rows[0]['id']}/tap")).status_code == 404
