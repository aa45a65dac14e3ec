"""How people use a server: each behaviour is one visit, from the first byte to the close.

None of them relies on an answer: some servers send nothing, and others have not accepted this visitor yet.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

MOST_AT_ONCE = 65536
"""Bytes of an answer in one read."""

PATIENCE = 60.0
"""Seconds that a visitor waits for the end of the answer."""

TALK = (
    "hello",
    "is anybody there?",
    "1, 2, 3",
    "what goes in comes out",
    "grüß dich",
    "你好",
    "a line that is longer than the others, because somebody had something to say",
    "ok",
)

Behaviour = Callable[["Guest"], Awaitable[None]]


class Guest:
    """A connected visitor, with its source of random numbers. Times in seconds.

    Every method raises OSError when the server has hung up.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: Random) -> None:
        self._reader = reader
        self._writer = writer
        self.chance = chance

    async def think(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))

    async def send(self, text: str) -> None:
        self._writer.write(text.encode())
        await self._writer.drain()

    async def chat(self, least: int, most: int) -> None:
        """Send between ``least`` and ``most`` lines, and read after each of them."""
        for _ in range(self.chance.randint(least, most)):
            await self.send(f"{self.chance.choice(TALK)}\n")
            await self.receive(self.chance.uniform(0.3, 2.0))

    async def receive(self, seconds: float) -> None:
        """Read and discard for this time.

        Raises:
            ConnectionError: the server hung up.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._reader.read(MOST_AT_ONCE):
                    pass
                raise ConnectionResetError("the server hung up")

    async def receive_all(self, seconds: float = PATIENCE) -> None:
        """Read and discard until the server hangs up."""
        with suppress(OSError):
            await self.receive(seconds)

    def send_eof(self) -> None:
        """Half-close (FIN): send nothing more; reading goes on."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close with RST, as a crashed program does: with SO_LINGER of 0 s, close(2) discards unsent data."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


async def chatty(guest: Guest) -> None:
    await guest.chat(5, 20)


async def slow(guest: Guest) -> None:
    """Sends one character at a time."""
    for _ in range(guest.chance.randint(1, 3)):
        for key in f"{guest.chance.choice(TALK)}\n":
            await guest.send(key)
            await guest.think(0.1, 0.4)
    await guest.receive(1)


async def silent(guest: Guest) -> None:
    await guest.receive(guest.chance.uniform(8, 20))


async def boom(guest: Guest) -> None:
    await guest.chat(1, 3)
    await guest.send("boom\n")
    await guest.receive(3)


async def leave_with_quit(guest: Guest) -> None:
    await guest.chat(2, 6)
    await guest.send("quit\n")
    await guest.receive(guest.chance.uniform(1, 3))


async def wait_for_quit(guest: Guest) -> None:
    """Waits, in the accept queue too, until everything is echoed."""
    await guest.chat(3, 8)
    await guest.send("quit\n")
    await guest.receive_all()


async def reset(guest: Guest) -> None:
    await guest.chat(1, 4)
    guest.reset()


async def half_close(guest: Guest) -> None:
    await guest.chat(1, 4)
    guest.send_eof()
    await guest.receive_all()


NAMES: dict[Behaviour, str] = {
    chatty: "chatty",
    slow: "slow",
    silent: "silent",
    boom: "boom",
    leave_with_quit: "quit",
    wait_for_quit: "quit",
    reset: "reset",
    half_close: "half-close",
}

_WEIGHTS: dict[str, dict[Behaviour, int]] = {
    "all at once": {chatty: 5, slow: 3, silent: 3, boom: 3, leave_with_quit: 2, reset: 1, half_close: 2},
    "one at a time": {wait_for_quit: 6, half_close: 2, slow: 1, silent: 1, reset: 1},
    "one in all": {wait_for_quit: 1},
}


def pick(clients: str, chance: Random) -> Behaviour:
    """A behaviour that suits the ``clients`` of a server's wire (``servers.Wire``)."""
    weights = _WEIGHTS.get(clients, _WEIGHTS["all at once"])
    return chance.choices(list(weights), list(weights.values()))[0]
