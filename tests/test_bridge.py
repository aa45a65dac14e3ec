"""Terminals: what is said, and how each end learns of the other's."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
import termios
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed

from app.supervising.supervisor import Supervisor
from app.terminals import bridge
from app.terminals.bridge import CREDIT
from tests.bridged import V1, Page, bare, bridges, everything, masked, served
from tests.conftest import Start
from tests.helpers import PATIENCE, until

BIG = 3_000_000


received = bytearray()


async def collects(listener: socket.socket, options: object) -> None:
    """Reads all that one client sends, answers when that has ended, and stays."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connection, _ = await loop.sock_accept(listener)
    received.clear()
    with connection:
        while data := await loop.sock_recv(connection, 65536):
            received.extend(data)
        await loop.sock_sendall(connection, b"%d" % len(received))
    await asyncio.Event().wait()


async def says_its_last_words(listener: socket.socket, options: object) -> None:
    """Sends a lot and closes, whatever the client does."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await loop.sock_sendall(connection, b"x" * BIG)


async def ends_first(listener: socket.socket, options: object) -> None:
    """Sends FIN, and goes on reading."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connection, _ = await loop.sock_accept(listener)
    received.clear()
    with connection:
        await loop.sock_sendall(connection, b"bye")
        connection.shutdown(socket.SHUT_WR)
        while data := await loop.sock_recv(connection, 65536):
            received.extend(data)
        received.extend(b"<FIN>")
    await asyncio.Event().wait()


RESET_AFTER = CREDIT + 20_000


async def resets(listener: socket.socket, options: object) -> None:
    """Sends more than one credit's worth, and resets when the other side's kernel has it all."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await loop.sock_sendall(connection, b"x" * RESET_AFTER)
            left = bytearray(4)
            while fcntl.ioctl(connection, termios.TIOCOUTQ, left) or any(left):
                await asyncio.sleep(0.001)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def answers_and_exits(listener: socket.socket, options: object) -> None:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connection, _ = await loop.sock_accept(listener)
    with connection:
        await loop.sock_sendall(connection, await loop.sock_recv(connection, 100))


# What is said


async def test_a_page_learns_where_it_is_connected_and_that_it_was_let_in(
    app: FastAPI, api: httpx.AsyncClient, begin: Start
) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.of(port, server.name, "other", V1) as page:
        assert page.connection.subprotocol == V1
        opened = await page.receive_json()
        assert server.listens_at is not None
        assert opened == {
            "type": "opened",
            "server": server.name,
            "local": opened["local"],
            "peer": f"127.0.0.1:{server.listens_at[1]}",
            "credit": CREDIT,
        }
        accepted = await page.receive_json()
        (listed,) = (await api.get("/connections")).json()["items"]
        assert accepted == {"type": "accepted", "connection": listed["id"]}
        assert listed["peer"] == opened["local"]
        await page.send(b"hello")
        assert await page.receive(5) == b"hello"


async def test_who_waits_in_the_queue_hears_when_he_is_let_in(app: FastAPI, begin: Start) -> None:
    server = await begin("blocking")
    async with served(app) as port, Page.v1(port, server.name) as first, Page.of(port, server.name, V1) as second:
        assert (await second.receive_json())["type"] == "opened"
        await second.send(b"sent in the queue\n")
        await first.send(b"quit\n")
        assert (await second.receive_json())["type"] == "accepted"
        await second.send_json("eof")
        received, code = await second.rest()
        assert (b"sent in the queue" in received, code) == (True, 1000)


@pytest.mark.parametrize(("offered", "chosen"), [([], None), (["binary"], "binary"), (["base64"], None)])
async def test_others_exchange_bytes_only(app: FastAPI, begin: Start, offered: list[str], chosen: str | None) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.of(port, server.name, *offered, user_agent_header=None) as page:
        assert page.connection.subprotocol == chosen
        await page.send('{"type": "grüße"}')
        sent = '{"type": "grüße"}'.encode()
        assert await page.receive(len(sent)) == sent
        await page.send([b"in ", b"parts"])  # type: ignore[arg-type]
        assert await page.receive(8) == b"in parts"
        await page.send(["auch als ", "Te", "xt"])  # type: ignore[arg-type]
        assert await page.receive(13) == b"auch als Text"
        assert page.connection.protocol.extensions == []  # no deflate


BROKEN = [
    "junk",
    "[]",
    "7",
    "{}",
    '{"type":"fly"}',
    '{"type":"credit"}',
    '{"type":"credit","bytes":0}',
    '{"type":"credit","bytes":-5}',
    '{"type":"credit","bytes":true}',
    '{"type":"credit","bytes":1.0}',
    '{"type":"credit","bytes":"5"}',
    "[" * 4000,
    '{"type":"eof"}' + " " * 5000,
    '{"type":"credit","bytes":' + "9" * 4100 + "}",
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
async def test_what_makes_no_sense_is_said_and_harms_nothing(app: FastAPI, begin: Start, text: str) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"before")
        await page.send(text)
        await page.send(b"after")
        said: list[dict[str, Any]] = []
        echoed = b""
        while len(echoed) < 11 or not said:
            message = await page.next()
            if isinstance(message, bytes):
                echoed += message
            else:
                said.append(json.loads(message))
        assert echoed == b"beforeafter"
        assert [one["type"] for one in said] == ["error"]


@pytest.mark.parametrize("later", ['"more": 1', '"more": {"deep": [null]}'])
async def test_a_field_of_a_later_version_is_ignored(app: FastAPI, begin: Start, later: str) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"x" * CREDIT)
        assert await page.receive(CREDIT) == b"x" * CREDIT
        await page.send(f'{{{later}, "type": "credit", "bytes": {CREDIT}}}')
        await page.send(b"more")
        assert await page.receive(4) == b"more"
        await page.send(f'{{"type": "eof", {later}}}')
        assert await page.receive_json() == {"type": "eof"}
        assert await page.closed() == 1000


# Ends


async def test_both_halves_close_one_after_the_other(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"x" * 200_000)
        await page.send_json("eof")
        assert await page.receive(200_000) == b"x" * 200_000
        assert await page.receive_json() == {"type": "eof"}
        assert await page.closed() == 1000


async def test_a_page_sends_on_after_the_server_has_ended(app: FastAPI, begin: Start) -> None:
    server = await begin(ends_first)
    async with served(app) as port, Page.v1(port, server.name) as page:
        assert await page.receive(3) == b"bye"
        assert await page.receive_json() == {"type": "eof"}
        await page.send(b"still here")
        await until(lambda: received == b"still here", "it comes through")
        await page.send_json("eof")
        assert await page.closed() == 1000
        await until(lambda: received == b"still here<FIN>", "the end comes through")


async def test_bytes_after_eof_are_an_error(app: FastAPI, begin: Start) -> None:
    server = await begin(collects)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"one")
        await page.send_json("eof")
        await page.send(b"more")
        assert sorted([str(await page.next()), str(await page.next()), str(await page.next())])[0] == "b'3'"
        assert received == b"one"


async def test_without_the_protocol_the_servers_end_is_the_end(app: FastAPI, begin: Start) -> None:
    server = await begin(says_its_last_words)
    async with served(app) as port, Page.of(port, server.name) as page:
        assert await page.rest() == (b"x" * BIG, 1000)


async def test_nothing_is_lost_when_the_server_says_much_and_closes(app: FastAPI, begin: Start) -> None:
    server = await begin(says_its_last_words)
    async with served(app) as port, Page.v1(port, server.name) as page:
        assert await page.receive(BIG, credit=True) == b"x" * BIG
        assert await page.receive_json() == {"type": "eof"}
        await page.send_json("eof")
        assert await page.closed() == 1000


@pytest.mark.parametrize("protocols", [[], [V1]])
@pytest.mark.parametrize("code", [1000, 1001, 4999])
async def test_nothing_is_lost_when_the_page_sends_much_and_closes(
    app: FastAPI, begin: Start, protocols: list[str], code: int
) -> None:
    server = await begin(collects)
    async with served(app) as port:
        async with Page.of(port, server.name, *protocols) as page:
            for _ in range(60):
                await page.send(b"x" * 50_000)
            await page.connection.close(code)
            assert page.connection.close_code == code
        await until(lambda: not bridges(app), "all has ended")
        assert len(received) == BIG


async def test_nothing_is_lost_when_a_page_goes_without_a_word(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    loop = asyncio.get_running_loop()
    async with served(app) as port:
        async with bare(port, server.name) as sock:
            await loop.sock_sendall(sock, masked(b"x" * 65535) * 12)
            left = bytearray(4)
            fcntl.ioctl(sock, termios.TIOCOUTQ, left)
            while any(left):  # what the kernel has not sent by then goes with the socket
                await asyncio.sleep(0.001)
                fcntl.ioctl(sock, termios.TIOCOUTQ, left)
        await until(lambda: server.traffic.bytes_in == 65535 * 12, "all has come")
        await until(lambda: not bridges(app), "all has ended")


async def test_what_comes_after_the_servers_end_still_goes_to_it(app: FastAPI, begin: Start) -> None:
    server = await begin(ends_first)
    loop = asyncio.get_running_loop()
    async with served(app) as port, bare(port, server.name) as sock:
        async with asyncio.timeout(PATIENCE):
            told = b""
            while not told.startswith(b"\x82\x03bye\x88") or len(told) < 9:
                told += await loop.sock_recv(sock, 100)
            assert told[7:9] == b"\x03\xe8"  # 1000
        await loop.sock_sendall(sock, masked(b"on its way") + masked(b"\x03\xe8", 0x88))
        await until(lambda: received == b"on its way<FIN>", "it comes through")


@pytest.mark.parametrize("writes", [False, True], ids=["quiet", "writing"])
async def test_a_reset_is_told_after_what_came_before_it(app: FastAPI, begin: Start, writes: bool) -> None:
    server = await begin(resets)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.spend()
        await until(lambda: not server.clients, "it has reset the connection")
        if writes:
            for _ in range(3):
                await page.send(b"too late")
        await page.send_json("credit", bytes=CREDIT)
        assert await page.rest() == (b"x" * (RESET_AFTER - CREDIT), 4003)


async def test_who_sends_to_a_server_that_has_closed_hears_of_it(app: FastAPI, begin: Start) -> None:
    server = await begin(says_its_last_words)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.receive(BIG, credit=True)
        assert await page.receive_json() == {"type": "eof"}
        await page.send(b"anybody?")
        assert await page.closed() == 4003


async def test_a_server_that_ends_by_itself_has_simply_ended(app: FastAPI, begin: Start) -> None:
    server = await begin(answers_and_exits)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"hello")
        assert await page.receive(5) == b"hello"
        assert await page.receive_json() == {"type": "eof"}
        await page.send_json("eof")
        assert await page.closed() == 1000


@pytest.mark.parametrize("how", ["stop", "remove", "restart"])
@pytest.mark.parametrize("protocols", [[], [V1]], ids=["raw", "v1"])
@pytest.mark.parametrize("variant", ["asyncio", "threads"])
async def test_a_stop_is_told(
    app: FastAPI, begin: Start, watched: Supervisor, how: str, protocols: list[str], variant: str
) -> None:
    server = await begin(variant)
    async with served(app) as port, Page.of(port, server.name, *protocols) as page:
        await page.send(b"hello")
        await until(lambda: server.traffic.bytes_out == 5, "it talks")
        await getattr(watched, how)(server.name)
        assert await page.rest() == (b"hello", 4002)


async def test_a_stop_is_told_to_who_waits_in_the_queue(app: FastAPI, begin: Start, watched: Supervisor) -> None:
    server = await begin("blocking")
    async with served(app) as port, Page.v1(port, server.name), Page.of(port, server.name, V1) as second:
        assert (await second.receive_json())["type"] == "opened"
        await watched.stop(server.name)
        assert await second.closed() == 4002


async def test_a_stop_is_told_even_if_its_end_is_seen_only_after_the_next_start(
    app: FastAPI, begin: Start, watched: Supervisor
) -> None:
    server = await begin(says_its_last_words)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.spend()
        await watched.restart(server.name)
        await page.send_json("credit", bytes=CREDIT)
        while isinstance(message := await page.next_or_code(), bytes):
            with suppress(ConnectionClosed):
                await page.send_json("credit", bytes=len(message))
        assert message == 4002


async def test_a_half_open_terminal_is_freed(app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "SECONDS_HALF_OPEN", 0.1)
    server = await begin(ends_first)
    async with served(app) as port, Page.v1(port, server.name) as page:
        assert await page.receive(3) == b"bye"
        assert await page.receive_json() == {"type": "eof"}
        assert await page.closed() == 4004


async def test_a_page_that_closes_without_a_code_gets_one(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    loop = asyncio.get_running_loop()
    async with served(app) as port, bare(port, server.name) as sock:
        await loop.sock_sendall(sock, masked(b"", 0x88))
        assert await everything(sock) == b"\x88\x02\x03\xe8"
