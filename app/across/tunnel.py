"""A WebSocket through this node to another: its bytes are carried, not read, so that flow control goes from end to end
and a message costs little here.

Only the frames' heads of what comes back are looked at (RFC 6455, 5.2): if the other node dies, the page is still told,
where a frame ends.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.errors import NodeLost
from app.terminals.close_codes import APP_STOPS, Verdict, node_lost

if TYPE_CHECKING:  # an app without a fleet imports this module, and should not import httpx
    from app.fleet.peers import Peers

TUNNEL = "echodeck.tunnel"
"""Name of the scope's extension that gives the connection away: called with the tunnel's end that takes it."""

HIGH_WATER = 65_536
CLOSE = 0x8
MOST_ANSWER = 65_536

PASSED_ON = frozenset(
    {"sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "accept-language", "user-agent"}
)


class Boundaries:
    """Where the frames of a stream begin and end."""

    def __init__(self) -> None:
        self.closed = False
        self._left = 0
        self._head = b""

    @property
    def between(self) -> bool:
        """Whether the last byte so far was a frame's last."""
        return not self._left and not self._head

    def see(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._left:
                taken = min(self._left, end - at)
                self._left -= taken
                at += taken
                continue
            head = self._head + data[at : at + 14 - len(self._head)]
            length = _head_length(head)
            if length is None or len(head) < length:
                self._head = head
                return
            at += length - len(self._head)
            self._head = b""
            self.closed = self.closed or head[0] & 0x0F == CLOSE
            self._left = _payload(head)


def _head_length(head: bytes) -> int | None:
    if len(head) < 2:
        return None
    return 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0) + (4 if head[1] & 0x80 else 0)


def _payload(head: bytes) -> int:
    short = head[1] & 0x7F
    return int.from_bytes(head[2:4]) if short == 126 else int.from_bytes(head[2:10]) if short == 127 else short


class End(asyncio.Protocol):
    """One of the two ends. What comes here is written there; while that one is full, this one is not read."""

    def __init__(self, lost: Callable[[], None], sees: Callable[[bytes], None] | None = None) -> None:
        self.there: asyncio.Transport | None = None
        self.here: asyncio.Transport | None = None
        self._lost = lost
        self._sees = sees
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.here = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if self._sees is not None:
            self._sees(data)
        if self.there is None:
            self._early.append(data)
        else:
            self.there.write(data)

    def eof_received(self) -> bool:
        return False

    def joined_to(self, there: asyncio.Transport) -> None:
        self.there = there
        for data in self._early:
            there.write(data)
        self._early.clear()

    def pause_writing(self) -> None:
        self._turn(reading=False)

    def resume_writing(self) -> None:
        self._turn(reading=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def _turn(self, reading: bool) -> None:
        with suppress(RuntimeError):  # it is closing
            if self.there is not None:
                (self.there.resume_reading if reading else self.there.pause_reading)()


class Tunnel:
    """Between a reader's connection and the node of that name. Made with ``open``; ``shut_down`` is the app's end."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._answer = b""
        self._is_websocket: bool | None = None
        self._boundaries = Boundaries()
        self._reader = End(self._reader_left)
        self._far = End(self._far_left, self._see)
        self._lost: Callable[[Exception | None], None] = lambda error: None
        self._answered = asyncio.Event()

    @classmethod
    async def open(cls, scope: Scope, node: str, peers: Peers, path: str) -> Tunnel:
        """Raises:
        NodeLost, NodeSilent: it cannot be reached.
        """
        own = await peers.headers(node)
        url = urlsplit(peers.value(node).url)
        tunnel = cls(node)
        loop = asyncio.get_running_loop()
        tls: Any = ssl.create_default_context() if url.scheme == "https" else None
        port = url.port or (443 if tls else 80)
        try:
            async with asyncio.timeout(2):
                await loop.create_connection(lambda: tunnel._far, url.hostname or "", port, ssl=tls)
        except (OSError, TimeoutError) as error:
            raise NodeLost(
                f"The node {node!r} cannot be reached: {str(error) or 'it is silent'}.", node=node
            ) from error
        assert tunnel._far.here is not None
        with suppress(OSError):
            sock: socket.socket = tunnel._far.here.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kept = [(name, value) for name, value in Headers(scope=scope).items() if name in PASSED_ON]
        lines = [f"GET {url.path}{path} HTTP/1.1", f"Host: {url.netloc}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"{name}: {value}" for name, value in [*kept, *own.items()]]
        tunnel._far.here.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        peers.hops += 1
        return tunnel

    def take(self, transport: asyncio.Transport, lost: Callable[[Exception | None], None]) -> None:
        """Carry what comes on this connection, from now on."""
        self._lost = lost
        self._reader.here = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        transport.set_protocol(self._reader)
        with suppress(RuntimeError):
            transport.resume_reading()
        far = self._far.here
        if far is None or far.is_closing():
            self._far_left()
            return
        self._reader.joined_to(far)
        self._far.joined_to(transport)

    def shut_down(self) -> None:
        self._end(APP_STOPS)

    def _see(self, data: bytes) -> None:
        if self._is_websocket is None:
            self._answer += data
            head, found, rest = self._answer.partition(b"\r\n\r\n")
            if not found:
                self._is_websocket = None if len(self._answer) < MOST_ANSWER else False
                return
            self._is_websocket = head.split(b"\r\n")[0].split(b" ")[1:2] == [b"101"]
            data = rest
        if self._is_websocket:
            self._boundaries.see(data)

    def _end(self, verdict: Verdict) -> None:
        reader, far = self._reader.here, self._far.here
        if reader is not None and not reader.is_closing():
            if self._is_websocket and self._boundaries.between and not self._boundaries.closed:
                reason = verdict.reason.encode()[:123]
                reader.write(bytes([0x88, 2 + len(reason)]) + int(verdict.code).to_bytes(2) + reason)
            elif self._is_websocket is None:
                reader.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            reader.close()
        if far is not None and not far.is_closing():
            far.close()

    def _reader_left(self) -> None:
        if self._far.here is not None:
            self._far.here.close()
        self._lost(None)

    def _far_left(self) -> None:
        self._end(node_lost(self._node))
