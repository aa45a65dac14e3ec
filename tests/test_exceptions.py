"""Exceptions: the four nets, whom they hurt and with what, folded when they repeat."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.history.exceptions import Details, ExceptionLog
from app.loop.ownership import is_news
from app.shapes.happenings import ExceptionShape
from tests.conftest import VARIANTS, Start
from tests.helpers import Client

log = logging.getLogger(__name__)


async def listed(api: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/exceptions", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def one(api: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    """The only exception, once it has these values."""
    for _ in range(1000):
        found = await listed(api)
        if found and wanted.items() <= found[0].items():
            assert len(found) == 1, found
            return found[0]
        await asyncio.sleep(0.005)
    raise AssertionError(f"{wanted} is not {await listed(api)}")


async def say(port: int, *chunks: bytes) -> str:
    """Send these, each after the answer to the one before, and wait for the end; returns who said it."""
    async with await Client.to(port) as client:
        host, own = client.socket.getsockname()
        for chunk in chunks[:-1]:
            await client.ask(chunk, chunk)
        await client.send(chunks[-1])
        await client.rest()
        return f"{host}:{own}"


# Variants that fail, each in its way


async def forgets(listener: socket.socket, options: object) -> None:
    """As asyncio-basic, but fails on purpose."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        asyncio.ensure_future(fails_with(connection))  # noqa: RUF006  # the mistake that is tested


async def fails_with(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        while data := await loop.sock_recv(connection, 100):
            if data.startswith(b"boom"):
                raise ValueError(data.decode())
            await loop.sock_sendall(connection, data)


def starts_threads(listener: socket.socket, options: object) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=fails_in_thread, args=(connection,), name="worker").start()


def fails_in_thread(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(100):
            if data.startswith(b"boom"):
                raise ValueError(data.decode())
            connection.sendall(data)


def logs(listener: socket.socket, options: object) -> None:
    while True:
        connection, _ = listener.accept()
        try:
            fails_in_thread(connection)
        except ValueError:
            log.exception("it failed")


def dies(listener: socket.socket, options: object) -> None:
    connection, _ = listener.accept()
    fails_in_thread(connection)


async def dies_on_the_loop(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    await fails_with(connection)


@pytest.mark.parametrize(
    ("variant", "function", "fatal"),
    [
        (forgets, "fails_with", False),
        (starts_threads, "fails_in_thread", False),
        (logs, "fails_in_thread", False),
        (dies, "fails_in_thread", True),
        (dies_on_the_loop, "fails_with", True),
    ],
)
async def test_each_net_tells_who_was_hurt_and_by_what(
    api: httpx.AsyncClient, begin: Start, variant: Callable[..., Any], function: str, fatal: bool
) -> None:
    server = await begin(variant, restart="never")
    peer = await say(server.spec.port, b"hello", b"boom\n")
    found = await one(api, type="ValueError", fatal=fatal)
    assert set(found) == set(ExceptionShape.model_fields)
    assert (found["server"], found["variant"], found["message"]) == (server.name, "made-up", "boom\n")
    assert (found["peer"], found["connection"], found["input"]) == (peer, "1-1", r"b'boom\n'")
    assert f"in {function}" in found["traceback"]
    assert found["traceback"].startswith("Traceback (most recent call last)")
    assert found["count"] == 1
    assert (await api.get(f"/exceptions/{found['id']}")).json() == found
    state = (await api.get(f"/servers/{server.name}")).json()
    assert (state["exceptions"], state["state"]) == (1, "crashed" if fatal else "running")


@pytest.mark.parametrize("variant", [name for name, variant in VARIANTS.items() if variant.wire.boom])
async def test_boom_is_one_exception_with_its_input(api: httpx.AsyncClient, begin: Start, variant: str) -> None:
    server = await begin(variant)
    peer = await say(server.spec.port, b"boom\n")
    found = await one(api, type="RuntimeError", message="boom", input=r"b'boom\n'", peer=peer, fatal=False)
    assert (found["server"], found["variant"]) == (server.name, variant)


async def test_a_forgotten_task_of_asyncio_basic_is_seen(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio-basic")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hello", b"hello")
        await client.reset()
    found = await one(api, type="ConnectionResetError", server=server.name)
    assert (found["connection"], found["input"], found["fatal"]) == ("1-1", "b'hello'", False)


async def test_too_much_without_quit_is_seen_with_the_end_of_it(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking", max_buffer=10)
    await say(server.spec.port, b"x" * 5000 + b"the end")
    assert (await one(api, type="BufferError"))["input"].endswith("xthe end'")


# Folding


async def test_equal_ones_are_folded_and_the_latest_is_told(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    first = await say(server.spec.port, b"boom\n")
    id = (await one(api, count=1, peer=first))["id"]
    last = await say(server.spec.port, b"boom\n")
    found = await one(api, count=2, peer=last)
    assert found["id"] == id
    assert found["first_at"] < found["at"]
    assert (await api.get(f"/servers/{server.name}")).json()["exceptions"] == 2


async def test_others_are_not_folded(api: httpx.AsyncClient, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    for server in (one, other, one):
        await say(server.spec.port, b"boom\n")
    await api.post(f"/servers/{one.name}/restart")
    await say(one.spec.port, b"boom\n")
    assert [(found["server"], found["count"]) for found in await listed(api)] == [
        (one.name, 1),  # of another run
        (other.name, 1),
        (one.name, 2),
    ]
    assert [found["count"] for found in await listed(api, server=other.name)] == [1]


async def test_a_storm_is_counted_exactly_and_kept_short(
    api: httpx.AsyncClient, begin: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(is_news)
    server, storm = await begin("asyncio", backlog=1000), 3000
    for _ in range(storm // 100):
        await asyncio.gather(*(say(server.spec.port, b"boom\n") for _ in range(100)))
    assert (await one(api, count=storm))["input"] == r"b'boom\n'"
    assert (await api.get(f"/servers/{server.name}")).json()["exceptions"] == storm
    assert len([record for record in caplog.records if record.exc_info]) == 4  # the 1st, 10th, 100th and 1000th
    assert len((await api.get("/journal")).json()["items"]) < 5
    caplog.handler.removeFilter(is_news)


async def test_threads_do_not_lose_count(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("threads", backlog=1000)
    for _ in range(5):
        await asyncio.gather(*(say(server.spec.port, b"boom\n") for _ in range(100)))
    await one(api, count=500)


def test_a_log_keeps_the_latest_and_counts_all() -> None:
    now, kept = datetime(2026, 1, 1, tzinfo=UTC), ExceptionLog(3)
    looked: list[int] = []

    def add(key: int, at: datetime) -> None:
        details = None
        if kept.wants_details(key, at):
            looked.append(key)
            details = Details(None, None, "E", str(key), "", None)
        kept.add(key, "s", 1, "v", at, details)

    for key in range(5):
        add(key, now)
    assert [record.id for record in kept.latest()] == [5, 4, 3]
    assert [record.id for record in kept.latest(before=5)] == [4, 3]
    assert (kept.dropped, kept.counts["s", 1]) == (2, 5)
    looked.clear()
    for _ in range(1000):
        add(4, now)
    assert len(looked) == 19  # of many at once, the first are looked at
    add(4, now + timedelta(seconds=1))
    assert len(looked) == 20  # and one now and then
    add(0, now)  # dropped, so it is new again
    assert [record.id for record in kept.latest()] == [6, 5, 4]
    kept.expire(now + timedelta(seconds=0.5))
    assert [record.count for record in kept.latest()] == [1002]
    kept.clear("other")
    assert kept.counts["s", 1] == 1007
    kept.clear("s")
    assert (kept.latest(), kept.counts["s", 1], kept.raised["s", 1]) == ([], 0, 1007)


# Clearing


async def test_clearing_forgets_and_counts_anew(api: httpx.AsyncClient, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    for server in (one, other):
        await say(server.spec.port, b"boom\n")
    assert (await api.delete("/exceptions", params={"server": one.name})).status_code == 204
    assert [found["server"] for found in await listed(api)] == [other.name]
    assert (await api.get(f"/servers/{one.name}")).json()["exceptions"] == 0
    assert (await api.delete("/exceptions")).status_code == 204
    assert await listed(api) == []
    assert (await api.get("/exceptions/2")).status_code == 404
    await say(one.spec.port, b"boom\n")
    assert [(found["id"], found["count"]) for found in await listed(api)] == [("3", 1)]


async def test_a_misspelt_parameter_clears_nothing(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    await say(server.spec.port, b"boom\n")
    answer = await api.delete("/exceptions", params={"sever": "nobody"})
    assert (answer.status_code, answer.json()["field"]) == (422, "sever")
    assert len(await listed(api)) == 1


@pytest.mark.parametrize("id", ["2", "0", "-1", "01", "one", "9" * 300, "1%20"])
async def test_unknown_exceptions_are_unknown(api: httpx.AsyncClient, begin: Start, id: str) -> None:
    await say((await begin("asyncio")).spec.port, b"boom\n")
    assert (await listed(api))[0]["id"] == "1"
    assert (await api.get(f"/exceptions/{id}")).status_code == 404


async def test_pages_hold_every_exception_once(api: httpx.AsyncClient, begin: Start) -> None:
    for _ in range(5):
        await say((await begin("asyncio")).spec.port, b"boom\n")
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (await api.get("/exceptions", params={"limit": 2} | ({"after": after} if after else {}))).json()
        seen += [found["id"] for found in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["5", "4", "3", "2", "1"]
