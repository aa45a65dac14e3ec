"""The clients of a script, played: each does its steps on a socket of its own, and says what it did when."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from base64 import b64encode
from contextlib import suppress
from typing import Any

from app.addresses import format_address
from app.recordings.script import Script, ScriptedClient, Step

READ_SIZE = 65_536
MOST_TOLD = 64
RESETS = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for 0 s; closing then resets, socket(7)."""

AFTER = 0.5
"""Seconds after the last client's last step."""


class Player:
    """``began`` is the script's zero, by the monotonic clock. ``did`` has each step with its time and outcome."""

    def __init__(self, client: ScriptedClient, address: tuple[str, int], began: float) -> None:
        self.client = client
        self.peer: str | None = None
        self.did: list[dict[str, Any]] = []
        self._address = address
        self._began = began
        self._sock: socket.socket | None = None

    async def play(self) -> None:
        """Do all of it; a step that fails ends it."""
        try:
            await asyncio.sleep(max(0.0, self._began + self.client.at - time.monotonic()))
            for step in self.client.does:
                if not await self._do(step):
                    return
        finally:
            self.leave()

    def leave(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    async def _do(self, step: Step) -> bool:
        told: dict[str, Any] = {"at": self._now(), "took": None, "does": step.words, "error": None}
        self.did.append(told)
        try:
            told |= await self._step(step)
        except OSError as reason:
            told["error"] = reason.strerror or type(reason).__name__
            return False
        finally:
            told["took"] = round(self._now() - told["at"], 6)
        return True

    async def _step(self, step: Step) -> dict[str, Any]:
        loop, sock = asyncio.get_running_loop(), self._sock
        if step.verb == "wait":
            await asyncio.sleep(step.number)
        elif step.verb == "connect":
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
            self._sock = sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            await loop.sock_connect(sock, self._address)
            self.peer = format_address(*sock.getsockname()[:2])
            return {"peer": self.peer}
        elif sock is not None:
            return await self._with(sock, step, loop)
        return {}

    async def _with(self, sock: socket.socket, step: Step, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
        match step.verb:
            case "say" | "flood":
                data = step.text.encode() if step.verb == "say" else b"x" * int(step.number)
                await loop.sock_sendall(sock, data)
                return {"bytes": b64encode(data[:MOST_TOLD]).decode(), "size": len(data)}
            case "read":
                data = await loop.sock_recv(sock, READ_SIZE)
                return {"bytes": b64encode(data[:MOST_TOLD]).decode(), "size": len(data)}
            case "half-close":
                sock.shutdown(socket.SHUT_WR)
            case "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
                self.leave()
            case "leave":
                with suppress(OSError):  # what was not read would make the kernel reset the connection
                    while sock.recv(READ_SIZE):
                        pass
                self.leave()
        return {}

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 6)


async def play(script: Script, address: tuple[str, int], began: float) -> list[Player]:
    """Return when all have done what they do, or when time is over: what waits then, waits in vain."""
    players = [Player(client, address, began) for client in script.clients]
    tasks = {asyncio.create_task(player.play(), name="script: client") for player in players}
    try:
        await asyncio.wait(tasks, timeout=max(0.0, began + script.seconds + AFTER - time.monotonic()))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return players
