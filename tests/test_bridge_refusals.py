"""Terminals that are refused, break the rules, or outlast the app; and whose they are."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from app.kernel import descriptors
from app.loop.ownership import OWNER
from app.settings import Settings
from app.terminals import terminals
from app.terminals.bridge import CREDIT, Bridge
from tests.bridged import V1, Page, bare, bridges, everything, masked, served
from tests.conftest import Program, Start
from tests.helpers import PATIENCE, Client, until


async def hides(listener: socket.socket, options: object) -> None:
    """Runs, and does not listen any more."""
    listener.close()
    await asyncio.Event().wait()


# Refusals


async def test_an_unknown_name_is_refused_before_the_handshake(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    async with served(app) as port:
        with pytest.raises(InvalidStatus) as refused:
            async with Page.of(port, "nobody", V1):
                pass
    answer = refused.value.response
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.body is not None
    assert json.loads(answer.body)["what"] == "server"
    assert not caplog.records


@pytest.mark.parametrize("protocols", [[], [V1]], ids=["raw", "v1"])
async def test_a_server_that_does_not_run_is_refused(app: FastAPI, begin: Start, protocols: list[str]) -> None:
    stopped, hidden = await begin("asyncio", start=False), await begin(hides)
    await until(lambda: hidden.listens_at is not None and hidden.waiting == 0, "it runs")
    async with served(app) as port:
        for server in (stopped, hidden):
            async with Page.of(port, server.name, *protocols) as page:
                assert await page.closed() == 4000


async def test_a_full_queue_is_a_timeout(app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "SECONDS_TO_CONNECT", 0.2)
    server = await begin("blocking", backlog=1)
    assert server.listens_at is not None
    async with await Client.to(server.listens_at[1]):
        await until(lambda: server.tally.open == 1, "the first is inside")
        async with (
            await Client.to(server.listens_at[1]),
            await Client.to(server.listens_at[1]),
            served(app) as port,
            Page.of(port, server.name, V1) as page,
        ):
            assert await page.closed() == 4001


@pytest.mark.parametrize("settings", [Settings(state=":memory:", terminals=1)])
async def test_one_too_many_is_turned_away(app: FastAPI, begin: Start, settings: Settings) -> None:
    server = await begin("asyncio")
    async with served(app) as port:
        async with Page.v1(port, server.name), Page.of(port, server.name, V1) as second:
            assert await second.closed() == 1013
        await until(lambda: not bridges(app), "the first has left")
        async with Page.v1(port, server.name):
            pass


async def test_terminals_leave_the_page_its_descriptors(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await begin("asyncio")
    async with served(app) as port:
        monkeypatch.setattr(descriptors, "bound", lambda: 5)
        monkeypatch.setattr(descriptors, "RESERVE", 100_000)
        async with Page.of(port, server.name, V1) as page:
            assert await page.closed() == 1013
    assert server.tally.total == 0


async def test_a_foreign_page_may_not(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    async with served(app) as port:
        with pytest.raises(InvalidStatus) as refused:
            async with Page.of(port, server.name, V1, origin="http://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with Page.v1(port, server.name, origin=f"http://127.0.0.1:{port}"):
            pass


@pytest.mark.parametrize(
    "settings",
    [Settings(state=":memory:", token=SecretStr("owners"), viewer_token=SecretStr("viewers"))],
    ids=["tokens"],
)
async def test_who_only_views_may_not(app: FastAPI, begin: Start, settings: Settings) -> None:
    server = await begin("asyncio")
    async with served(app) as port:
        for token, status in (("viewers", 403), (None, 401)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            with pytest.raises(InvalidStatus) as refused:
                async with Page.of(port, server.name, V1, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == status
        async with Page.v1(port, server.name, additional_headers={"Authorization": "Bearer owners"}):
            pass


# Against the rules


async def test_a_message_that_is_too_big_is_said_to_be(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    async with served(app) as port:
        async with Page.v1(port, server.name) as page:
            await page.send(b"x" * 1_048_576)
            assert await page.receive(1_048_576, credit=True)
            await page.connection.send(b"x" * 1_048_577)
            assert await page.closed() == 1009
        async with Page.v1(port, server.name) as page:
            with pytest.raises(Exception, match="1009"):
                await page.connection.send(["x" * 600_000, "x" * 600_000])
                await page.next()


async def test_who_sends_too_much_can_send_it_all_and_then_read_why_not(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    loop = asyncio.get_running_loop()
    async with served(app) as port, bare(port, server.name) as sock:
        async with asyncio.timeout(PATIENCE):
            await loop.sock_sendall(sock, masked(b"x" * 5_000_000))
            assert (await loop.sock_recv(sock, 1000))[:1] == b"\x88"
            assert await loop.sock_recv(sock, 1000) == b""


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(b"\xff\xfe", 0x81), 1007),
        (masked(b"x", 0xC2), 1002),
        (masked(b"x", 0x80), 1002),
        (masked(b"x", 0x8F), 1002),
        (masked(b"x" * 126, 0x89), 1002),
        (b"\x82\x01x", 1002),
        (masked(b"x", 0x02) + masked(b"y"), 1002),
        (masked(b"\x03\xed", 0x88), 1002),
    ],
    ids=[
        "utf-8",
        "deflated",
        "a part of nothing",
        "unknown",
        "a long ping",
        "unmasked",
        "amid another",
        "closes with 1005",
    ],
)
async def test_a_frame_against_the_rules_ends_it(app: FastAPI, begin: Start, frame: bytes, code: int) -> None:
    server = await begin("asyncio")
    loop = asyncio.get_running_loop()
    async with served(app) as port, bare(port, server.name) as sock:
        await loop.sock_sendall(sock, masked(b"") + frame + masked(b"never") * 1000)
        told = await everything(sock)
        assert told[told.index(b"\x88") + 2 :][:2] == struct.pack("!H", code)
        assert b"never" not in told
        sock.close()
        await until(lambda: not bridges(app), "nothing is left of it")
        assert server.traffic.bytes_in <= 1


@pytest.mark.parametrize("method", ["bytes_from_page", "bytes_from_server"])
async def test_a_bug_is_1011(
    app: FastAPI, begin: Start, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError

    server = await begin("asyncio")
    async with served(app) as port:
        monkeypatch.setattr(Bridge, method, fail)
        async with Page.v1(port, server.name) as page:
            await page.send(b"hello")
            assert await page.closed() == 1011
        await until(lambda: not bridges(app), "nothing is left of it")
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


# Whose it is


@pytest.mark.parametrize("variant", ["asyncio", "threads"])
async def test_a_terminal_is_the_apps_and_not_its_servers(
    app: FastAPI, begin: Start, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = []

    def noting(method: Callable[..., None]) -> Callable[..., None]:
        def noted(*arguments: Any) -> None:
            owners.append(OWNER.get(None))
            method(*arguments)

        return noted

    for name in ("bytes_from_page", "bytes_from_server", "accepted", "ended"):
        monkeypatch.setattr(Bridge, name, noting(getattr(Bridge, name)))
    server = await begin(variant)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"hello")
        await page.receive(5)
        await page.send_json("eof")
        assert await page.receive_json() == {"type": "eof"}
    assert (len(owners), set(owners)) == (4, {None})


async def test_metrics_count_terminals(app: FastAPI, api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name):
        assert "\nechodeck_terminals 1.0\n" in (await api.get("/metrics")).text


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_terminals_do_not_keep_the_app_from_ending(program: Callable[..., Program], loop: str) -> None:
    app = program("--loop", loop)
    frame = masked(b"x" * 50_000)
    async with httpx.AsyncClient(base_url=app.url) as http:
        for name, variant in (("echo", "asyncio"), ("one", "blocking")):
            (await http.post("/servers", json={"variant": variant, "port": 0, "name": name})).raise_for_status()
    async with (
        Page.v1(app.port, "echo") as talking,
        Page.v1(app.port, "one"),
        Page.of(app.port, "one", V1) as waiting,
        Page.v1(app.port, "echo") as greedy,
        bare(app.port, "echo", buffer=4096) as stalled,
    ):
        assert (await waiting.receive_json())["type"] == "opened"
        await talking.send(b"hello")
        assert await talking.receive(5) == b"hello"
        await greedy.send(b"x" * (CREDIT + 1000))
        await greedy.spend()
        with suppress(TimeoutError):  # perhaps the kernel takes it all; the page takes nothing of the echo
            async with asyncio.timeout(1):
                await asyncio.get_running_loop().sock_sendall(stalled, frame * 160)
        app.signal(signal.SIGTERM)
        for page in (talking, waiting):
            assert await page.closed() == 1012
        assert (await greedy.rest())[1] == 1012
        assert app.wait() == 0
    said = app.end()
    assert "Traceback" not in said
    assert "ERROR" not in said
