"""A terminal's end towards the page: a WebSocket from the moment it was accepted.

The handshake is uvicorn's. After it, the connection is handed over (``DIRECT``) and ASGI has no part in it any more:
a message comes by a call straight from where it was read, and goes by a write straight to the transport. No task, queue
or future lies in its path. What is no binary message in one frame goes through ``websockets``' own protocol object.

While the transport holds a byte that the kernel did not take, the page is ``full``: the listener must hold back.
``stall_timeout`` says how long a page may take nothing. That it is there at all shows in TCP: a ping goes out now and
then, which also keeps proxies from taking the connection for dead, and must be acknowledged in time (tcp(7),
TCP_USER_TIMEOUT). No pong is waited for: a page whose server reads nothing is not read from, and its pong would lie
behind what waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from app.terminals import close_codes
from app.terminals.close_codes import Verdict
from app.terminals.frames import BINARY, TEXT, Cutter, Inbox, head
from app.terminals.stall_timeout import StallTimeout

log = logging.getLogger("echodeck.terminal")

DIRECT = "echodeck.direct"
"""Name of the scope's extension that hands an accepted WebSocket over, to be called right after the accept."""

SECONDS_BETWEEN_PINGS = 20.0
SECONDS_TO_ACKNOWLEDGE = 20
SECONDS_FOR_LAST_WORDS = 0.5

_INBOX = bytearray(262_144)
"""What was just read; of all pages, because it is dealt with before anything else is read."""
_INBOX_VIEW = memoryview(_INBOX)


class PageListener(Protocol):
    """Is called with what the page does."""

    def bytes_from_page(self, data: bytes) -> None:
        """Bytes came."""

    def text_from_page(self, text: str) -> None:
        """A text message came."""

    def drained(self) -> None:
        """The page is full no more."""

    def left(self) -> None:
        """The page sends nothing more, and takes nothing."""

    def gone(self, stalled: bool) -> None:
        """The connection has ended; ``stalled``: because the page took nothing."""


HandOver = Callable[[PageListener], "PageEnd"]


class PageEnd(asyncio.BufferedProtocol):
    def __init__(
        self,
        transport: asyncio.Transport,
        websocket: ServerProtocol,
        listener: PageListener,
        lost: Callable[[Exception | None], None],
    ) -> None:
        self.full = False
        self._transport = transport
        self._websocket = websocket
        self._listener = listener
        self._lost = lost
        self._cutter = Cutter(listener.bytes_from_page, self._frame)
        self._text: list[bytes] | None = None  # parts of a text message of which more is to come
        self._open = True  # neither side has sent a close frame
        self._has_stopped_reading = False
        self._paused = False
        self._choked = False  # not read from because it does not take the answers
        self._stalled = False
        self._loop = asyncio.get_running_loop()
        self._ping = self._loop.call_later(SECONDS_BETWEEN_PINGS, self._send_ping)
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._stall_timeout = StallTimeout(transport, lambda: self.full, self._drop)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SECONDS_TO_ACKNOWLEDGE * 1000)
        transport.set_write_buffer_limits(high=0)
        self.pause()
        transport.set_protocol(self)

    @property
    def descriptor(self) -> int:
        return self._socket.fileno()

    # The taker's

    def send_bytes(self, data: bytes | bytearray) -> None:
        """One binary message; nothing once the end was sent or received."""
        self._write(head(BINARY, len(data)) + data)

    def send_inbox(self, inbox: Inbox, count: int) -> None:
        """The same, of what was just read into an inbox."""
        self._write(inbox.frame(count))

    def send_text(self, text: str) -> None:
        data = text.encode()
        self._write(head(TEXT, len(data)) + data)
        self._choke()

    def close(self, verdict: Verdict) -> None:
        """Send the page a close frame, unless one was sent; what the page sends until it has read it is still taken."""
        if self._open:
            self._open = False
            self._websocket.send_close(*verdict)
            self._answer()
            self._stall_timeout.begin(ending=True)

    def fail(self, verdict: Verdict) -> None:
        """Tell the page the end, and take nothing from it any more."""
        self._websocket.fail(*verdict)
        self._stall_timeout.begin(ending=True)
        self._stop_reading()
        self._answer()

    def pause(self) -> None:
        """Read nothing from the page, until ``resume``. It begins paused."""
        self._paused = True
        self._regulate()

    def resume(self) -> None:
        self._paused = False
        self._regulate()

    def shut_down(self) -> None:
        """The app ends: tell the page, and do not wait for long."""
        self.close(close_codes.APP_STOPS)
        self._loop.call_later(SECONDS_FOR_LAST_WORDS, self.abort)

    def abort(self) -> None:
        self._transport.abort()

    # As the transport's protocol

    def get_buffer(self, sizehint: int) -> memoryview:
        return _INBOX_VIEW

    def buffer_updated(self, count: int) -> None:
        if self._has_stopped_reading:
            return
        try:
            self._cutter.feed(_INBOX_VIEW[:count])
        except Exception:
            log.exception("a terminal failed")
            self.fail(close_codes.BUG)

    def eof_received(self) -> None:  # the transport closes then
        self._stop_reading()

    def pause_writing(self) -> None:
        self.full = True
        self._stall_timeout.begin()

    def resume_writing(self) -> None:
        self.full = False
        self._choked = False
        self._regulate()
        self._listener.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_the_rest()
        self._ping.cancel()
        self._stall_timeout.end()
        self._lost(exc)
        self._stop_reading()
        self._listener.gone(self._stalled)

    # How

    def _write(self, frame: bytes) -> None:
        if self._open and not self._transport.is_closing():
            self._transport.write(frame)

    def _read_the_rest(self) -> None:
        """What the page sent before it went without a word, and the transport, failing to write to it, did not read."""
        with suppress(OSError):
            while not self._has_stopped_reading and (count := os.readv(self._socket.fileno(), [_INBOX])):
                self.buffer_updated(count)

    def _frame(self, frame: bytes) -> bool:
        """A frame by the rules; returns whether there may be another one."""
        websocket = self._websocket
        websocket.receive_data(frame)
        for event in websocket.events_received():
            if isinstance(event, Frame):
                self._event(event)
        self._answer()
        if websocket.parser_exc is not None:  # it was told so, and reads that before it leaves
            self._stall_timeout.begin(ending=True)
            self._stop_reading()
        return not self._has_stopped_reading

    def _event(self, frame: Frame) -> None:
        opcode, data = frame.opcode, bytes(frame.data)
        if opcode is Opcode.CLOSE:
            self._stop_reading()
        elif opcode is Opcode.BINARY or (opcode is Opcode.CONT and self._text is None):
            self._listener.bytes_from_page(data)
        elif opcode in {Opcode.TEXT, Opcode.CONT}:
            parts = [*(self._text or ()), data]
            self._text = None if frame.fin else parts
            if frame.fin:
                self._text_message(b"".join(parts))

    def _text_message(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.fail(close_codes.NOT_TEXT)
        else:
            self._listener.text_from_page(text)

    def _stop_reading(self) -> None:
        self._open = False
        if not self._has_stopped_reading:
            self._has_stopped_reading = True
            self._listener.left()

    def _answer(self) -> None:
        """Send what ``websockets`` has to say."""
        if self._transport.is_closing():
            return
        websocket = self._websocket
        for data in websocket.data_to_send():
            if data == b"\x88\x00":  # the echo of a close without a code; others get to see 1005
                data = b"\x88\x02\x03\xe8"
            if data:
                self._transport.write(data)
            elif websocket.close_rcvd is not None:
                self._transport.close()
            else:  # closing now would reset the connection while it sends, and it would not read why
                with suppress(OSError):  # the page has reset the connection
                    self._transport.write_eof()
        self._choke()

    def _choke(self) -> None:
        """A page that does not take answers is not read from."""
        if self.full:
            self._choked = True
            self._regulate()

    def _regulate(self) -> None:
        if not self._transport.is_closing():
            if self._paused or self._choked:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _send_ping(self) -> None:
        self._ping = self._loop.call_later(SECONDS_BETWEEN_PINGS, self._send_ping)
        if self._websocket.state is OPEN and not self.full and not self._paused:
            self._websocket.send_ping(b"")
            self._answer()

    def _drop(self) -> None:
        self._stalled = self._open or self.full
        self.abort()


def hand_over_of(scope: Any) -> HandOver:
    found: HandOver = scope["extensions"][DIRECT]
    return found
