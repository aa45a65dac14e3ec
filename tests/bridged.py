"""The app behind a real socket, and clients of its bridge."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
import websockets
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from app.program.serving import configuration
from app.terminals.bridge import CREDIT, Bridge
from tests.helpers import PATIENCE

V1 = "echodeck.v1"


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app behind a real socket; yields its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server = uvicorn.Server(configuration(app, lifespan="off"))
        serving = asyncio.create_task(server._serve([sock]))
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


def bridges(app: FastAPI) -> list[Bridge]:
    return list(app.state.terminals._open)


def address(port: int, name: str) -> str:
    return f"ws://127.0.0.1:{port}/servers/{name}/terminal"


class Page:
    """A client of the bridge; every wait has an end."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[int] = []

    @classmethod
    @asynccontextmanager
    async def of(cls, port: int, name: str, *protocols: str, **options: Any) -> AsyncIterator[Page]:
        opening = connect(address(port, name), subprotocols=list(protocols) or None, max_size=None, **options)  # type: ignore[arg-type]
        async with opening as connection:
            yield cls(connection)

    @classmethod
    @asynccontextmanager
    async def v1(cls, port: int, name: str, **options: Any) -> AsyncIterator[Page]:
        """A page that has received ``opened`` and ``accepted``."""
        async with cls.of(port, name, V1, **options) as page:
            assert (await page.receive_json())["type"] == "opened"
            assert (await page.receive_json())["type"] == "accepted"
            yield page

    async def next(self) -> str | bytes:
        async with asyncio.timeout(PATIENCE):
            message = await self.connection.recv()
        assert isinstance(message, str | bytes)
        return message

    async def receive_json(self) -> dict[str, Any]:
        """The next message, which is JSON."""
        message = await self.next()
        assert isinstance(message, str), message
        found: dict[str, Any] = json.loads(message)
        return found

    async def receive(self, count: int, credit: bool = False) -> bytes:
        """Receive ``count`` bytes; ``credit``: grant credit for each message."""
        received = bytearray()
        while len(received) < count:
            message = await self.next()
            assert isinstance(message, bytes), message
            received += message
            self.frames.append(len(message))
            if credit:
                await self.send_json("credit", bytes=len(message))
        assert len(received) == count
        return bytes(received)

    async def send(self, data: bytes | str) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.connection.send(data)

    async def send_json(self, kind: str, **more: Any) -> None:
        await self.send(json.dumps({"type": kind, **more}))

    async def rest(self) -> tuple[bytes, int]:
        """All bytes until the close, and the close code."""
        received = bytearray()
        while not isinstance(message := await self.next_or_code(), int):
            received += message if isinstance(message, bytes) else b""
        return bytes(received), message

    async def next_or_code(self) -> str | bytes | int:
        """The next message, or the close code."""
        try:
            return await self.next()
        except websockets.ConnectionClosed as closed:
            frame = closed.rcvd
        assert frame is not None, "closed without a close frame"
        assert frame.reason
        assert len(frame.reason.encode()) <= 120
        return frame.code

    async def closed(self) -> int:
        """The close code; nothing may be received before it."""
        received, code = await self.rest()
        assert received == b""
        return code

    async def spend(self) -> bytes:
        """Receive as many bytes as may be sent without credit."""
        return await self.receive(CREDIT)


def masked(payload: bytes, first: int = 0x82, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame."""
    size = len(payload)
    head = (
        struct.pack("!BB", first, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", first, 0xFE, size)
        if size < 65536
        else struct.pack("!BBQ", first, 0xFF, size)
    )
    return head + mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))


@asynccontextmanager
async def bare(port: int, name: str, protocol: str | None = None, buffer: int = 0) -> AsyncIterator[socket.socket]:
    """A WebSocket that does nothing by itself, not even read; with a receive ``buffer`` in bytes."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            await loop.sock_connect(sock, ("127.0.0.1", port))
            lines = [
                f"GET /servers/{name}/terminal HTTP/1.1",
                f"Host: 127.0.0.1:{port}",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version: 13",
                *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []),
            ]
            await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await loop.sock_recv(sock, 1)
            assert b" 101 " in head
        yield sock


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """A server's frames, as first bytes and payloads; an incomplete one at the end is left out."""
    found, at = [], 0
    while at + 2 <= len(data):
        short = data[at + 1]
        start = at + {126: 4, 127: 10}.get(short, 2)
        size = int.from_bytes(data[at + 2 : start], "big") if short > 125 else short
        if start + size > len(data):
            break
        found.append((data[at], data[start : start + size]))
        at = start + size
    return found


async def everything(sock: socket.socket, until: bytes | None = None) -> bytes:
    """All bytes until the other end closes or resets, or until these bytes."""
    loop, received = asyncio.get_running_loop(), bytearray()
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            while data := await loop.sock_recv(sock, 65536):
                received += data
                if until is not None and received.endswith(until):
                    break
    return bytes(received)
