"""A connection to a server through the app's bridge, between stdin and stdout.

What comes is read in the loop and written in a thread of its own: a pager that takes nothing holds back the server, by
credit that is not given, and not the WebSocket, which the app would drop. The library's client with threads would lock
up here: it holds a lock while it sends, which reading needs, and a server that echoes reads no more while nobody reads
what it sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

import echodeck
from app.console.showing import Shower
from app.console.tables import plain
from app.program.exit_codes import CUT_OFF, REFUSED, UNREACHABLE, complain
from app.terminals.close_codes import CloseCode
from app.terminals.subprotocol import V1, encode

MOST_AT_ONCE = 65_536
"""Bytes of stdin in one message."""

SECONDS_TO_LEAVE = 1.0
SECONDS_UNTIL_IT_WAITS = 0.3
"""Without being accepted, after which that is worth saying."""

LOST = 1006
"""A code that is never sent: the app went away without one."""

ENDINGS = {
    CloseCode.DONE: 0,
    CloseCode.APP_STOPS: UNREACHABLE,
    CloseCode.STOPPED: CUT_OFF,
    CloseCode.RESET: CUT_OFF,
    LOST: UNREACHABLE,
}
"""How the program ends, by why the terminal was closed; every other code is REFUSED."""


def talk(deck: echodeck.Client, name: str, shower: Shower, *, eof: bool, crlf: bool, quiet: bool) -> int:
    """Until one end ends; returns the code with which the program ends.

    Raises:
        Refused, Unreachable: it did not come to a connection.
        OSError: stdout takes nothing any more.
    """
    try:
        code, reason = asyncio.run(Talk(deck, name, shower, eof=eof, crlf=crlf, quiet=quiet).go_on())
        os.write(1, shower.happened({"type": "closed", "code": code, "reason": reason}))
    finally:
        shower.close()
    if code != CloseCode.DONE:
        complain(plain(reason))
    return ENDINGS.get(code, REFUSED)


class Talk:
    """One connection, from stdin and to stdout."""

    def __init__(self, deck: echodeck.Client, name: str, shower: Shower, *, eof: bool, crlf: bool, quiet: bool) -> None:
        self._deck = deck
        self._name = name
        self._shower = shower
        self._eof = eof
        self._crlf = crlf
        self._quiet = quiet
        self._out: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
        self._output_failed: OSError | None = None
        self._server_ended = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def go_on(self) -> tuple[int, str]:
        """Returns the close code and its reason."""
        self._loop = asyncio.get_running_loop()
        self._written = asyncio.Event()
        async with await self._connect() as websocket:
            self._websocket = websocket
            threading.Thread(target=self._write, daemon=True).start()
            try:
                await self._hear()
            except ConnectionClosed:
                pass
            finally:
                self._out.put(None)
            await self._written.wait()
            if self._output_failed:
                raise self._output_failed
            await websocket.wait_closed()
        code = websocket.close_code or LOST
        return code, websocket.close_reason or f"{self._deck.url} went away"

    async def _connect(self) -> ClientConnection:
        url = f"ws{self._deck.url.removeprefix('http')}/servers/{quote(self._name, safe='')}/terminal"
        try:
            return await connect(
                url,
                subprotocols=[Subprotocol(V1)],
                additional_headers={"Authorization": f"Bearer {self._deck.token}"} if self._deck.token else None,
                compression=None,
                max_queue=None,  # credit bounds what may come
                max_size=None,
                ping_interval=None,  # the app sends them
                close_timeout=SECONDS_TO_LEAVE,
                open_timeout=echodeck.SECONDS_TO_CONNECT,
                proxy=None if echodeck.is_near(self._deck.url) else True,
            )
        except InvalidStatus as answer:
            response = answer.response
            raise (
                echodeck.refusal(response.status_code, bytes(response.body or b""), bool(self._deck.token))
                or echodeck.Unreachable(f"what answers at {self._deck.url} is no Echodeck ({response.status_code})")
            ) from None
        except InvalidHandshake as error:
            raise echodeck.Unreachable(f"what answers at {self._deck.url} is no Echodeck: {error}") from error
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            why = "Connection refused" if refused else echodeck.reason(error)
            raise echodeck.Unreachable(f"nothing answers at {self._deck.url}: {why}") from error

    async def _hear(self) -> None:
        waits: asyncio.TimerHandle | None = None
        async for message in self._websocket:
            if isinstance(message, bytes):
                self._out.put((self._shower.received(message), len(message)))
                continue
            told: dict[str, Any] = json.loads(message)
            self._out.put((self._shower.happened(told), 0))
            match told["type"]:
                case "opened":
                    waits = self._loop.call_later(SECONDS_UNTIL_IT_WAITS, self._say, "waits in the backlog")
                    threading.Thread(target=self._read, daemon=True).start()
                case "accepted":
                    if waits:
                        waits.cancel()
                    self._say(f"accepted as connection {told['connection']}")
                case "eof":  # all that the server sent is here; nc, too, leaves then
                    self._server_ended = True
                    await self._websocket.send(encode("eof"))
                case "error" if not self._server_ended:
                    self._say(told["message"])

    def _say(self, what: str) -> None:
        if not self._quiet:
            complain(plain(f"{self._name}: {what}"))

    # In a thread each, as stdin and stdout may keep one waiting

    def _read(self) -> None:
        """stdin, as fast as the app takes it."""
        last = b""
        with suppress(ConnectionClosed, RuntimeError):  # it has ended meanwhile
            while (data := _stdin()) and not self._server_ended:
                if self._crlf:
                    sent = (last + data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                    data, last = sent[len(last) :], data[-1:] if data.endswith(b"\r") else b""
                if shown := self._shower.sent(data):
                    self._out.put((shown, 0))
                self._send(data)
            if self._eof:
                self._send(encode("eof"))

    def _send(self, message: bytes | str) -> None:
        asyncio.run_coroutine_threadsafe(self._websocket.send(message), self._loop).result()

    def _write(self) -> None:
        """What came, and give credit for it."""
        try:
            while (piece := self._out.get()) is not None:
                data, credit = piece
                while data:
                    data = data[os.write(1, data) :]
                if credit:
                    self._in_loop(self._give, credit)
        except OSError as error:
            self._output_failed = error
            self._in_loop(self._leave)
        self._in_loop(self._written.set)

    def _in_loop(self, do: Any, *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(do, *arguments)

    def _give(self, credit: int) -> None:
        self._begin(self._tell(encode("credit", bytes=credit)))

    def _leave(self) -> None:
        self._begin(self._websocket.close())

    def _begin(self, doing: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, message: str) -> None:
        with suppress(ConnectionClosed):
            await self._websocket.send(message)


def _stdin() -> bytes:
    try:
        return os.read(0, MOST_AT_ONCE)
    except OSError:  # it is closed, or no more ours
        return b""
