"""How people behave at a server: each behaviour is one visit, from the first word to the way out.

None of them counts on an answer: there are servers that say nothing, and servers that have not let this visitor in yet.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

MOST_AT_ONCE = 65536
"""Bytes that are taken of an answer in one go."""

PATIENCE = 60.0
"""Seconds that a visitor waits for the whole answer."""

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
    """A visitor that is connected to a server, and the chance that decides what comes next. Times in seconds.

    Every method raises OSError when the server hung up.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: Random) -> None:
        self._reader = reader
        self._writer = writer
        self.chance = chance

    async def think(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))

    async def say(self, text: str) -> None:
        self._writer.write(text.encode())
        await self._writer.drain()

    async def chat(self, least: int, most: int) -> None:
        """So many lines, with a look at what comes back."""
        for _ in range(self.chance.randint(least, most)):
            await self.say(f"{self.chance.choice(TALK)}\n")
            await self.listen(self.chance.uniform(0.3, 2.0))

    async def listen(self, seconds: float) -> None:
        """Take what comes within this time.

        Raises:
            ConnectionError: the server hung up.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._reader.read(MOST_AT_ONCE):
                    pass
                raise ConnectionResetError("the server hung up")

    async def hear_out(self, seconds: float = PATIENCE) -> None:
        """Take what comes until the server hangs up."""
        with suppress(OSError):
            await self.listen(seconds)

    def end(self) -> None:
        """Say that nothing more comes, and go on listening (FIN)."""
        self._writer.write_eof()

    def vanish(self) -> None:
        """As a crashed program or a pulled plug does (RST): with no time to linger, close(2) throws all away."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def leave(self) -> None:
        self._writer.transport.abort()


async def chatty(guest: Guest) -> None:
    await guest.chat(5, 20)


async def slow(guest: Guest) -> None:
    """Types a key at a time."""
    for _ in range(guest.chance.randint(1, 3)):
        for key in f"{guest.chance.choice(TALK)}\n":
            await guest.say(key)
            await guest.think(0.1, 0.4)
    await guest.listen(1)


async def silent(guest: Guest) -> None:
    await guest.listen(guest.chance.uniform(8, 20))


async def boom(guest: Guest) -> None:
    await guest.chat(1, 3)
    await guest.say("boom\n")
    await guest.listen(3)


async def leave_with_quit(guest: Guest) -> None:
    await guest.chat(2, 6)
    await guest.say("quit\n")
    await guest.listen(guest.chance.uniform(1, 3))


async def wait_for_quit(guest: Guest) -> None:
    """Stays, in the queue if need be, until everything came back."""
    await guest.chat(3, 8)
    await guest.say("quit\n")
    await guest.hear_out()


async def reset(guest: Guest) -> None:
    await guest.chat(1, 4)
    guest.vanish()


async def half_close(guest: Guest) -> None:
    await guest.chat(1, 4)
    guest.end()
    await guest.hear_out()


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
    """A behaviour that suits a server's ``clients`` (``servers.Wire``)."""
    weights = _WEIGHTS.get(clients, _WEIGHTS["all at once"])
    return chance.choices(list(weights), list(weights.values()))[0]
