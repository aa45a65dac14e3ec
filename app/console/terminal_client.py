"""A client of the app's bridge: stdin to a server, and the server to stdout.

Messages are received in the loop and written in a thread of its own. A pager that stops reading must stop the server,
by credit that is not granted, and not the WebSocket, which the app would drop. The library's threaded client would
deadlock here: while it sends it holds a lock that receiving needs, and an echo server stops reading while nothing reads
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
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus
from websockets.typing import Subprotocol

import echodeck
from app.console.byte_formats import ByteFormat
from app.console.tables import escape
from app.program.exit_codes import CUT_OFF, REFUSED, UNREACHABLE, print_error
from app.terminals.close_codes import CloseCode
from app.terminals.subprotocol import V1, encode

MOST_AT_ONCE = 65_536
"""Bytes of stdin in one message."""

MOST_AHEAD = 4_194_304
"""Bytes that are sent ahead of what was taken."""

SECONDS_TO_LEAVE = 1.0
SECONDS_TO_BE_ACCEPTED = 0.3
"""After which a connection that is not accepted is reported as waiting."""

LOST = 1006
"""Never sent (RFC 6455, 7.1.5): the connection ended without a close frame."""

EXIT_CODES = {
    CloseCode.DONE: 0,
    CloseCode.APP_STOPS: UNREACHABLE,
    CloseCode.STOPPED: CUT_OFF,
    CloseCode.RESET: CUT_OFF,
    LOST: UNREACHABLE,
}
"""The exit code by the WebSocket's close code; every other close code is REFUSED."""


def run_terminal(
    deck: echodeck.Client, name: str, byte_format: ByteFormat, *, eof: bool, crlf: bool, quiet: bool
) -> int:
    """Run until one end closes; returns the exit code.

    Raises:
        Refused, Unreachable: there was no connection.
        OSError: stdout cannot be written.
    """
    try:
        code, reason = asyncio.run(TerminalClient(deck, name, byte_format, eof=eof, crlf=crlf, quiet=quiet).run())
        os.write(1, byte_format.event({"type": "closed", "code": code, "reason": reason}))
    finally:
        byte_format.close()
    if code != CloseCode.DONE:
        print_error(escape(reason))
    return EXIT_CODES.get(code, REFUSED)


class Pace:
    """Little is sent ahead of what the server's end has taken: a credit lies behind what was sent before it, which a
    server that is not read from may not take."""

    def __init__(self) -> None:
        self._sent = 0
        self._taken: int | None = None
        self._changed = threading.Condition()
        self._over = False

    def taken(self, count: int) -> None:
        """So many bytes in all; an app of an earlier version never tells."""
        with self._changed:
            self._taken = count
            self._changed.notify_all()

    def sending(self, count: int) -> None:
        """Wait until so many bytes may go."""
        with self._changed:
            self._changed.wait_for(self._may_go)
            self._sent += count

    def _may_go(self) -> bool:
        return self._over or self._taken is None or self._sent - self._taken < MOST_AHEAD

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()


class TerminalClient:
    """One connection, between stdin and stdout."""

    def __init__(
        self, deck: echodeck.Client, name: str, byte_format: ByteFormat, *, eof: bool, crlf: bool, quiet: bool
    ) -> None:
        self._deck = deck
        self._name = name
        self._byte_format = byte_format
        self._eof = eof
        self._crlf = crlf
        self._quiet = quiet
        self._out: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
        self._output_failed: OSError | None = None
        self._server_ended = False
        self._pace = Pace()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> tuple[int, str]:
        """Returns the close code and its reason."""
        self._loop = asyncio.get_running_loop()
        self._written = asyncio.Event()
        async with await self._connect() as websocket:
            self._websocket = websocket
            threading.Thread(target=self._write_stdout, daemon=True).start()
            try:
                await self._receive()
            except ConnectionClosed:
                pass
            finally:
                self._out.put(None)
                self._pace.end()
            await self._written.wait()
            if self._output_failed:
                raise self._output_failed
            await websocket.wait_closed()
        code = websocket.close_code or LOST
        return code, websocket.close_reason or f"{self._deck.url} went away"

    async def _connect(self) -> ClientConnection:
        url = f"ws{self._deck.url.removeprefix('http')}/servers/{quote(self._name, safe='')}/terminal?taken=1"
        try:
            return await connect(
                url,
                subprotocols=[Subprotocol(V1)],
                additional_headers=self._deck.headers,
                ssl=self._deck.tls,
                compression=None,
                max_queue=None,  # credit bounds it
                max_size=None,
                ping_interval=None,  # the app sends them
                close_timeout=SECONDS_TO_LEAVE,
                open_timeout=echodeck.SECONDS_TO_CONNECT,
                proxy=self._deck.proxy,
            )
        except InvalidStatus as answer:
            response = answer.response
            raise (
                echodeck.refusal(response.status_code, bytes(response.body or b""), bool(self._deck.token))
                or echodeck.Unreachable(f"what answers at {self._deck.url} is no Echodeck ({response.status_code})")
            ) from None
        except InvalidProxy:
            raise echodeck.Unreachable("the proxy in the environment cannot be used for a WebSocket") from None
        except InvalidHandshake as error:
            raise echodeck.Unreachable(f"what answers at {self._deck.url} is no Echodeck: {error}") from error
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            reason = "Connection refused" if refused else echodeck.error_text(error)
            raise echodeck.Unreachable(f"nothing answers at {self._deck.url}: {reason}") from error

    async def _receive(self) -> None:
        waits: asyncio.TimerHandle | None = None
        async for message in self._websocket:
            if isinstance(message, bytes):
                self._out.put((self._byte_format.received(message), len(message)))
                continue
            control: dict[str, Any] = json.loads(message)
            if control.get("type") != "taken":
                self._out.put((self._byte_format.event(control), 0))
            match control.get("type"):  # what is not known here is of a later version
                case "opened":
                    if "taken" in control:
                        self._pace.taken(control["taken"])
                    waits = self._loop.call_later(SECONDS_TO_BE_ACCEPTED, self._report, "waits in the backlog")
                    threading.Thread(target=self._read_stdin, daemon=True).start()
                case "accepted":
                    if waits:
                        waits.cancel()
                    self._report(f"accepted as connection {control['connection']}")
                case "taken":
                    self._pace.taken(control["bytes"])
                case "eof":  # everything from the server has arrived; nc ends then, too
                    self._server_ended = True
                    await self._websocket.send(encode("eof"))
                case "error" if not self._server_ended:
                    self._report(control["message"])

    def _report(self, text: str) -> None:
        if not self._quiet:
            print_error(escape(f"{self._name}: {text}"))

    # Each in a thread, because stdin and stdout may block

    def _read_stdin(self) -> None:
        """Send stdin, as fast as the app accepts it."""
        last = b""
        with suppress(ConnectionClosed, RuntimeError):  # the connection has ended
            while (data := _stdin()) and not self._server_ended:
                if self._crlf:
                    sent = (last + data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                    data, last = sent[len(last) :], data[-1:] if data.endswith(b"\r") else b""
                if text := self._byte_format.sent(data):
                    self._out.put((text, 0))
                self._pace.sending(len(data))
                self._send(data)
            if self._eof:
                self._send(encode("eof"))

    def _send(self, message: bytes | str) -> None:
        asyncio.run_coroutine_threadsafe(self._websocket.send(message), self._loop).result()

    def _write_stdout(self) -> None:
        """Write what was received, then grant credit for it."""
        try:
            while (piece := self._out.get()) is not None:
                data, credit = piece
                while data:
                    data = data[os.write(1, data) :]
                if credit:
                    self._call_in_loop(self._grant_credit, credit)
        except OSError as error:
            self._output_failed = error
            self._call_in_loop(self._close)
        self._call_in_loop(self._written.set)

    def _call_in_loop(self, do: Any, *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(do, *arguments)

    def _grant_credit(self, credit: int) -> None:
        self._spawn(self._send_control(encode("credit", bytes=credit)))

    def _close(self) -> None:
        self._spawn(self._websocket.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_control(self, message: str) -> None:
        with suppress(ConnectionClosed):
            await self._websocket.send(message)


def _stdin() -> bytes:
    try:
        return os.read(0, MOST_AT_ONCE)
    except OSError:  # closed, or this process is in the background
        return b""
