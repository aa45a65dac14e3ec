"""TCP clients, and the one way to wait for the kernel."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

import pytest

PATIENCE = 20.0
"""The timeout of every wait, in seconds: a machine that is slow and busy makes no test fail."""


def first(count: int, cases: Iterable[Any]) -> list[Any]:
    """Parameters of a test: the first ones are for each run, the others for the tier of slow tests."""
    return [
        case if place < count else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for place, case in enumerate(cases)
    ]


async def until(holds: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition that depends on the kernel, another thread or another process."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience:g} s: {what}")
        await asyncio.sleep(0.002)


async def settled(figure: Callable[[], object]) -> None:
    """Wait until a figure of the kernel no longer changes: fifty reads in a row are equal."""
    same, last = 0, figure()
    deadline = time.monotonic() + PATIENCE
    while same < 50:
        await asyncio.sleep(0.002)
        now = figure()
        same, last = (same + 1, last) if now == last else (0, now)
        assert time.monotonic() < deadline, f"still changing after {PATIENCE:g} s"


class Client:
    """One TCP client; every wait has an end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int, host: str = "127.0.0.1") -> Self:
        async with asyncio.timeout(PATIENCE):
            return cls(*await asyncio.open_connection(host, port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def socket(self) -> socket.socket:
        return self.writer.get_extra_info("socket")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def receive(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as closing."""
        received = b""
        async with asyncio.timeout(3 * PATIENCE):
            with suppress(ConnectionError):
                while data := await self.reader.read(65536):
                    received += data
        return received

    async def ask(self, data: bytes, answer: bytes) -> None:
        await self.send(data)
        assert await self.receive(len(answer)) == answer

    async def half_close(self) -> None:
        self.writer.write_eof()

    async def reset(self) -> None:
        """Leave with RST instead of FIN."""
        raw = self.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                await self.writer.wait_closed()


async def refuses(port: int) -> bool:
    """Whether nothing listens on the port."""
    try:
        client = await Client.to(port)
    except ConnectionRefusedError:
        return True
    await client.close()
    return False
