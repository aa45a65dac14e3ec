"""How long one waits for a page that takes nothing of what it is sent.

What it takes is the kernel's to know: bytes that its kernel has acknowledged. The transport alone would not do, because
a socket is writable again only when much of its buffer is free, and a slow page may need long for that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from app.kernel import tcp_info

SECONDS_TO_TAKE = 10.0
"""From one look to the next; a page that took nothing meanwhile is dropped, after twice as long at most."""

MOST_LOOKS = 6
"""At a page that was sent a close frame; until then it may take, or send on, all the same."""


class StallTimeout:
    """Calls ``drop`` when it has come to its end; ``waits`` says whether anything still waits for the page."""

    def __init__(self, transport: asyncio.Transport, waits: Callable[[], bool], drop: Callable[[], None]) -> None:
        self._transport = transport
        self._waits = waits
        self._drop = drop
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._ending = False
        self._looks = 0
        self._seen: tuple[int, ...] = ()
        self._look: asyncio.TimerHandle | None = None

    def begin(self, ending: bool = False) -> None:
        """Something waits for the page; or, ``ending``, it was sent a close frame."""
        self._ending = self._ending or ending
        if self._look is None:
            self._seen = self._progress()
            self._look = asyncio.get_running_loop().call_later(SECONDS_TO_TAKE, self._looked)

    def end(self) -> None:
        """The page has gone."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _looked(self) -> None:
        self._look = None
        if not (self._ending or self._waits()):
            return
        self._looks += self._ending
        if self._progress() == self._seen or self._looks > MOST_LOOKS:
            self._drop()
        else:
            self.begin()

    def _progress(self) -> tuple[int, ...]:
        with suppress(OSError):
            received = tcp_info.traffic(self._socket).bytes_in if self._ending else 0
            return tcp_info.acknowledged(self._socket), self._transport.get_write_buffer_size(), received
        return ()
