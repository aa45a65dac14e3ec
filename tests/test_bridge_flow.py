"""Terminals whose ends are not equally fast: nothing is lost, nothing piles up, nobody holds on for ever."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import suppress

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.console.terminal_client import MOST_AHEAD, Pace
from app.terminals import bridge, page_end, server_end, stall_timeout
from app.terminals.bridge import CAP, CREDIT, Bridge
from app.terminals.stall_timeout import StallTimeout
from tests.bridged import V1, Page, address, bare, bridges, everything, frames_of, masked, served
from tests.conftest import Start
from tests.helpers import PATIENCE, settled, until

TEN = 10_000_000
CHUNK = 8192


async def floods(listener: socket.socket, options: object) -> None:
    """Sends for ever, and reads nothing."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connection, _ = await loop.sock_accept(listener)
    with connection:
        while True:
            await loop.sock_sendall(connection, b"x" * CHUNK)


async def sends_on_demand(listener: socket.socket, options: object) -> None:
    """For every byte that comes, a chunk."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    connection, _ = await loop.sock_accept(listener)
    with connection:
        while data := await loop.sock_recv(connection, 1000):
            for _ in data:
                await loop.sock_sendall(connection, b"x" * CHUNK)


async def echoes_narrowly(listener: socket.socket, options: object) -> None:
    """An echo whose kernel buffers hold little."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    for which in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        listener.setsockopt(socket.SOL_SOCKET, which, 65536)
    connection, _ = await loop.sock_accept(listener)
    with connection:
        while data := await loop.sock_recv(connection, 65536):
            await loop.sock_sendall(connection, data)
    await asyncio.Event().wait()


class Holds:
    """Lets one in, and reads from it only once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.read = 0

    async def serve(self, listener: socket.socket, options: object) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await self.may.wait()
            while data := await loop.sock_recv(connection, 65536):
                self.read += len(data)
        await asyncio.Event().wait()


async def settled_loop() -> None:
    """Let the loop turn until what is ready has been dealt with."""
    for _ in range(10):
        await asyncio.sleep(0)


def kept(terminal: Bridge) -> int:
    """Bytes that a terminal holds for its page."""
    return len(terminal._joined) + terminal.page._transport.get_write_buffer_size()


@pytest.mark.parametrize("protocols", [[], [V1]], ids=["raw", "v1"])
async def test_ten_megabytes_go_through_and_back(app: FastAPI, begin: Start, protocols: list[str]) -> None:
    server = await begin("asyncio")
    data = bytes(range(256)) * (TEN // 256)
    async with served(app) as port, Page.of(port, server.name, *protocols) as page:
        for _ in range(2 * len(protocols)):
            await page.receive_json()

        async def send() -> None:
            for start in range(0, len(data), 100_000):
                await page.send(data[start : start + 100_000])

        sending = asyncio.create_task(send())
        assert await page.receive(len(data), credit=bool(protocols)) == data
        await sending


async def test_credit_that_lies_behind_fifteen_megabytes_is_found(app: FastAPI, begin: Start) -> None:
    server = await begin(echoes_narrowly)
    fifteen = 15_000_000  # more than kernels hold on the way, and less than MOST_AHEAD
    async with served(app) as port, Page.v1(port, server.name) as page:
        for _ in range(fifteen // 100_000):
            await page.send(b"x" * 100_000)
        assert len(await page.receive(fifteen, credit=True)) == fifteen


async def test_credit_that_lies_too_far_behind_ends_it(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "MOST_AHEAD", 1_000_000)
    monkeypatch.setattr(bridge, "SECONDS_HALF_OPEN", 0.3)
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name) as page:

        async def send() -> None:
            with suppress(ConnectionClosed):
                while True:
                    await page.connection.send(b"x" * 100_000)

        sending = asyncio.create_task(send())
        assert (await page.rest())[1] == 4004
        await sending


async def test_who_was_too_far_ahead_once_may_be_quiet_later(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "SECONDS_HALF_OPEN", 0.1)
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name) as page:
        (terminal,) = bridges(app)
        terminal._expect_more()  # as when it was
        await until(lambda: terminal._half_open is None, "the time is over")
        await page.send(b"still here")
        assert await page.receive(10) == b"still here"


async def test_without_credit_no_more_is_sent_than_agreed_and_with_it_it_goes_on(app: FastAPI, begin: Start) -> None:
    server = await begin(floods)
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.spend()
        (terminal,) = bridges(app)
        await settled(lambda: server.traffic.bytes_out)
        assert terminal._outstanding == CREDIT
        assert kept(terminal) == 0
        await page.send_json("credit", bytes=1000)
        await page.receive(1000)
        await page.send_json("credit", bytes=CREDIT)
        await page.receive(CREDIT)
        assert terminal._outstanding == CREDIT


async def test_credit_beyond_what_was_sent_ends_it(app: FastAPI, begin: Start) -> None:
    server = await begin("asyncio")
    async with served(app) as port, Page.v1(port, server.name) as page:
        await page.send(b"hello")
        await page.receive(5)
        await page.send_json("credit", bytes=3)
        await page.send_json("credit", bytes=3)
        assert await page.closed() == 4005
        await until(lambda: not server.clients, "the server is left")


async def test_what_comes_while_a_send_is_under_way_is_joined(app: FastAPI, begin: Start) -> None:
    server = await begin(sends_on_demand)
    count = 700
    async with served(app) as port, bare(port, server.name, buffer=4096) as sock:
        loop, received = asyncio.get_running_loop(), bytearray()
        await loop.sock_sendall(sock, masked(b"x" * count))
        (terminal,) = bridges(app)
        await until(lambda: terminal.page.full, "the page takes no more")
        await settled(lambda: server.traffic.bytes_out)
        assert kept(terminal) <= 2 * CAP + 20
        frames: list[int] = []
        async with asyncio.timeout(PATIENCE):
            while sum(frames) < count * CHUNK:
                received += await loop.sock_recv(sock, 1 << 20)
                frames = [len(payload) for _, payload in frames_of(bytes(received))]
        assert sum(frames) == count * CHUNK
        assert max(frames) <= CAP
        assert max(frames) > 10 * CHUNK


async def test_what_was_joined_comes_before_the_end(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "CREDIT", 1 << 40)
    server = await begin(sends_on_demand)
    loop = asyncio.get_running_loop()
    async with served(app) as port, bare(port, server.name, V1, buffer=4096) as sock:
        asked = 0
        while not (bridges(app) and bridges(app)[0]._joined):
            await loop.sock_sendall(sock, masked(b"x"))
            asked += 1
            await until(lambda: server.traffic.bytes_out == asked * CHUNK, "it was answered")  # noqa: B023
            await settled_loop()
        await loop.sock_sendall(sock, masked(b'{"type":"eof"}', 0x81))
        (terminal,) = bridges(app)
        await until(lambda: terminal._server_ended, "the server has ended")
        told = frames_of(await everything(sock, until=b"Both ends are done."))
        assert sum(len(payload) for first, payload in told if first == 0x82) == asked * CHUNK
        assert told[-1][1][:2] == b"\x03\xe8"


@pytest.mark.parametrize("protocol", [None, V1], ids=["raw", "v1"])
async def test_a_page_that_takes_nothing_is_dropped_and_holds_little_until_then(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch, protocol: str | None
) -> None:
    monkeypatch.setattr(stall_timeout, "SECONDS_TO_TAKE", 0.5)
    monkeypatch.setattr(server_end, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(bridge, "CREDIT", 1 << 40)  # a page that owes nothing and takes nothing
    server = await begin(floods)
    async with served(app) as port, bare(port, server.name, protocol, buffer=4096):
        await until(lambda: bridges(app) and bridges(app)[0].page.full, "the page takes no more")
        (terminal,) = bridges(app)
        await settled(lambda: server.traffic.bytes_out)
        assert CAP <= kept(terminal) <= 2 * CAP + 20
        await until(lambda: not bridges(app), "it is dropped")
        assert app.state.terminals.dropped == 1


async def test_a_page_that_takes_little_is_kept(app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = StallTimeout._looked

    def looked(end: StallTimeout) -> None:
        nonlocal looks
        looks += 1
        look(end)

    monkeypatch.setattr(stall_timeout, "SECONDS_TO_TAKE", 0.2)
    monkeypatch.setattr(StallTimeout, "_looked", looked)
    server = await begin(floods)
    async with served(app) as port, bare(port, server.name, buffer=4096) as sock:
        await until(lambda: bridges(app) and bridges(app)[0].page.full, "the page takes no more")
        while looks < 5:
            assert await asyncio.get_running_loop().sock_recv(sock, 4096), "it was dropped"
            await asyncio.sleep(0.01)
        assert bridges(app)


@pytest.mark.parametrize("message", [masked(b"x" * 125, 0x89), masked(b"junk", 0x81)], ids=["pongs", "errors"])
async def test_answers_that_are_not_taken_are_not_piled_up(app: FastAPI, begin: Start, message: bytes) -> None:
    server = await begin("asyncio")
    loop = asyncio.get_running_loop()
    async with served(app) as port, bare(port, server.name, V1, buffer=4096) as sock:

        async def send() -> None:
            while True:
                await loop.sock_sendall(sock, message * 500)

        sending = asyncio.create_task(send())
        await until(lambda: bridges(app) and bridges(app)[0].page._choked, "it is not read from any more")
        (terminal,) = bridges(app)
        before = kept(terminal)
        await settled_loop()
        assert kept(terminal) == before < 5_000_000
        sending.cancel()
        await asyncio.wait({sending})
        terminal.abort()


async def test_a_page_is_not_read_from_while_the_server_reads_nothing(app: FastAPI, begin: Start) -> None:
    holds = Holds()

    async def serve(listener: socket.socket, options: object) -> None:
        await holds.serve(listener, options)

    server = await begin(serve)
    sent = 0
    async with served(app) as port, Page.of(port, server.name) as page:
        with pytest.raises(TimeoutError):
            while True:
                async with asyncio.timeout(2):
                    await page.connection.send(b"x" * 50_000)
                    sent += 50_000
        (terminal,) = bridges(app)
        assert terminal._server is not None
        assert bridge.MOST_UNSENT <= terminal._server.unsent <= 2 * bridge.MOST_UNSENT + 50_000
        holds.may.set()
        await until(lambda: holds.read >= sent, "all comes through")


async def test_what_waits_for_the_server_reaches_it_though_the_page_has_left(app: FastAPI, begin: Start) -> None:
    holds = Holds()

    async def serve(listener: socket.socket, options: object) -> None:
        await holds.serve(listener, options)

    server = await begin(serve)
    sent = 0
    async with served(app) as port:
        async with Page.of(port, server.name) as page:
            await until(lambda: bridges(app) and bridges(app)[0]._server, "it is connected")
            (terminal,) = bridges(app)
            end = terminal._server
            assert end is not None
            while not end.unsent:
                await page.send(b"x" * 50_000)
                sent += 50_000
                await asyncio.sleep(0)
        assert bridges(app) == [terminal]
        assert end.unsent
        holds.may.set()
        await until(lambda: not bridges(app), "it has ended")
        assert holds.read == sent


async def test_a_page_that_leaves_a_server_that_reads_nothing_is_remembered_for_a_while(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_end, "SECONDS_BETWEEN_LOOKS", 0.05)
    holds = Holds()

    async def serve(listener: socket.socket, options: object) -> None:
        await holds.serve(listener, options)

    server = await begin(serve)
    async with served(app) as port:
        async with Page.of(port, server.name) as page:
            await page.send(b"x" * 1000)
            await until(lambda: server.clients, "it is in")
        await until(lambda: not bridges(app), "it is given up")
        holds.may.set()
        await until(lambda: holds.read == 1000, "what the kernel has reaches the server")


async def test_a_server_that_floods_does_not_keep_who_has_left(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_end, "SECONDS_BETWEEN_LOOKS", 0.05)
    server = await begin(floods)
    async with served(app) as port:
        async with Page.v1(port, server.name) as page:
            await page.spend()
        await until(lambda: not bridges(app), "it is given up")


async def test_a_page_that_does_not_answer_the_close_is_dropped(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_timeout, "SECONDS_TO_TAKE", 0.1)
    server = await begin("asyncio")
    async with served(app) as port, bare(port, server.name, V1) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, masked(json.dumps({"type": "eof"}).encode(), 0x81))
        await until(lambda: not bridges(app), "it is dropped")
        assert app.state.terminals.dropped == 0  # it took all there was


async def test_pings_go_out_and_come_back(app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_end, "SECONDS_BETWEEN_PINGS", 0.02)
    server = await begin("asyncio")
    async with served(app) as port, bare(port, server.name) as sock:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            assert await loop.sock_recv(sock, 2) == b"\x89\x00"
            await loop.sock_sendall(sock, masked(b"", 0x8A) + masked(b"ping", 0x89))
            told = b""
            while b"\x8a\x04ping" not in told:
                told += await loop.sock_recv(sock, 100)
        assert set(told.replace(b"\x8a\x04ping", b"")) <= {0x89, 0}


@pytest.mark.parametrize("asks", [True, False])
async def test_who_asks_is_told_how_much_the_server_has_taken(app: FastAPI, begin: Start, asks: bool) -> None:
    made = await begin("asyncio")
    async with (
        served(app) as port,
        connect(address(port, made.name) + "?taken=1" * asks, subprotocols=[V1], proxy=None) as page,  # type: ignore[arg-type, list-item]
    ):
        opened = json.loads(await page.recv())
        assert opened.get("taken") == (0 if asks else None)
        received, told = 0, []
        for _ in range(10):
            await page.send(b"x" * 50_000)
        while received < 500_000:
            message = await page.recv()
            if isinstance(message, bytes):
                received += len(message)
                await page.send(json.dumps({"type": "credit", "bytes": len(message)}))
            elif (one := json.loads(message))["type"] == "taken":
                told.append(one["bytes"])
        assert told == sorted(set(told))
        if asks:
            assert 500_000 - bridge.TAKEN_STEP < told[-1] <= 500_000
        else:
            assert told == []


def test_a_pipe_goes_at_the_pace_that_it_is_told_or_at_its_own() -> None:
    pace = Pace()
    for _ in range(3):
        pace.sending(MOST_AHEAD)  # an app of an earlier version tells nothing
    pace = Pace()
    pace.taken(0)
    pace.sending(MOST_AHEAD)
    waits = threading.Thread(target=pace.sending, args=(1,))
    waits.start()
    waits.join(0.1)
    assert waits.is_alive()
    pace.taken(1)
    waits.join(PATIENCE)
    assert not waits.is_alive()
