"""uvicorn's protocols, with bounds on what a client can hold before it is authenticated.

An accepted WebSocket can be handed over to a ``PageEnd``, which bypasses ASGI.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from app.across.tunnel import TUNNEL, Tunnel
from app.kernel import descriptors
from app.terminals.page_end import DIRECT, PageEnd, PageListener
from app.web.streams import DROP

MOST_HEAD = 65_536
"""Bytes of a request's first line and headers."""

SECONDS_FOR_HEAD = 10.0
"""From a connection, or the first byte of a further request on it, to the end of the headers."""

SECONDS_FOR_LAST_CHUNK = 5.0

KEPT_FREE = 24
"""Of the descriptors reserved for the page, those that its connections leave to everything else. With none left,
asyncio's own accept would fail, log and try again, as many times as its backlog is long."""


class BoundedHttp(HttpToolsProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head: int | None = 0  # bytes so far; None between requests and within a body
        self._head_timeout: asyncio.TimerHandle | None = None
        self._abort: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        if transport.get_extra_info("socket").fileno() >= descriptors.bound() + descriptors.RESERVE - KEPT_FREE:
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_complete()
        if self._abort is not None:
            self._abort.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > MOST_HEAD and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DROP: self.drop}  # type: ignore[dict-item]  # a function; the spec says a dict
        if self._head is None:
            self._await_head()

    def drop(self, last_chunk: bytes) -> None:
        """End a chunked answer that its reader does not take; a last chunk is sent in case the reader reads on."""
        self.cycle.disconnected = True
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last_chunk), last_chunk))
        self.transport.close()
        self._abort = asyncio.get_running_loop().call_later(SECONDS_FOR_LAST_CHUNK, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._head_is_complete()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head = 0
        loop = asyncio.get_running_loop()
        self._head_timeout = loop.call_later(SECONDS_FOR_HEAD, lambda: self.transport.abort())

    def _head_is_complete(self) -> None:
        self._head = None
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None


class DirectWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's until it is handed over; then it only represents the connection in uvicorn's list of open ones."""

    _page: PageEnd | None = None
    _tunnel: Tunnel | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # otherwise the handshake is invalid
            self.scope["extensions"][DIRECT] = self.hand_over  # type: ignore[assignment]  # see above
            self.scope["extensions"][DROP] = self.drop  # type: ignore[assignment]
            self.scope["extensions"][TUNNEL] = self.give_away  # type: ignore[assignment]

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # a denial completes it too; else uvicorn logs an error

    def drop(self, last_chunk: bytes) -> None:
        """End it at once: its reader takes nothing."""
        self.transport.abort()

    def hand_over(self, listener: PageListener) -> PageEnd:
        """From now on the page's messages go to ``listener``. To be called right after the accept."""
        self.stop_keepalive()
        self._page = PageEnd(self.transport, self.conn, listener, super().connection_lost)
        return self._page

    def give_away(self, tunnel: Tunnel) -> None:
        """From now on the connection's bytes go through the tunnel; to be called before the handshake is answered."""
        self.stop_keepalive()
        self.handshake_complete = self.close_sent = True
        self._tunnel = tunnel
        tunnel.take(self.transport, super().connection_lost)

    def shutdown(self) -> None:
        if self._tunnel is not None:
            self._tunnel.shut_down()
        elif self._page is None:
            super().shutdown()
        else:
            self._page.shut_down()
