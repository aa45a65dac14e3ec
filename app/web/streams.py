"""Server-Sent Events (html.spec.whatwg.org, "Server-sent events") to readers that may be slow or disconnected.

A reader that takes nothing for ``SECONDS_TO_TAKE`` is dropped, and gets the reason if it reads on. The number of
readers is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import TooManyStreams
from app.watching.event import Event

log = logging.getLogger("echodeck.streams")

SECONDS_TO_TAKE = 10.0
SECONDS_OF_SILENCE = 15.0
"""After which a comment is sent, so that both ends detect a broken connection."""

RECONNECT_MS = 1000
PIECE = 65_536

DROP = "echodeck.drop"
"""Name of the scope's extension that ends a stalled connection: called with the last bytes to send."""


class Streams:
    """Counts the open streams, at most ``most``, and those ``dropped`` because their reader was too slow."""

    def __init__(self, most: int) -> None:
        self.open = 0
        self.dropped = 0
        self._most = most

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Raises:
        TooManyStreams: the bound is reached.
        """
        if self.open >= self._most:
            raise TooManyStreams(
                f"{self._most} streams are open, which is the limit; "
                "close one, or start the app with a higher --streams.",
                limit=self._most,
                headers={"Retry-After": "5"},
            )
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


class EventStream(Response):
    """Sends the events until they end, or the reader disconnects."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, events: AsyncGenerator[list[Event], None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.opened():
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope.get("state", {}).get("head"):
                await send({"type": "http.response.body", "body": b""})
                return
            tasks = {asyncio.create_task(self._send_all(scope, send)), asyncio.create_task(_disconnected(receive))}
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _send_all(self, scope: Scope, send: Send) -> None:
        try:
            await _send(send, f"retry: {RECONNECT_MS}\n\n".encode())
            async with aclosing(_text(self._events)) as texts:
                async for text in texts:
                    for start in range(0, len(text), PIECE):
                        await _send(send, text[start : start + PIECE])
            await send({"type": "http.response.body", "body": b""})
        except _SendTimeout:
            self._streams.dropped += 1
            reason = f"nothing was taken for {SECONDS_TO_TAKE:g} s"
            log.warning("dropped a reader of %s at %s: %s", scope["path"], (scope.get("client") or ["?"])[0], reason)
            if drop := scope.get("extensions", {}).get(DROP):
                drop(Event("dropped", f'{{"reason":"{reason}"}}').encoded)


async def _text(events: AsyncGenerator[list[Event], None]) -> AsyncGenerator[bytes, None]:
    """The stream's text, with a comment after ``SECONDS_OF_SILENCE``."""
    next_batch = None
    try:
        while True:
            next_batch = next_batch or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({next_batch}, timeout=SECONDS_OF_SILENCE)
            if not done:
                yield b": still here\n\n"
                continue
            try:
                batch = next_batch.result()
            except StopAsyncIteration:
                return
            next_batch = None
            yield b"".join(event.encoded for event in batch)
    finally:
        if next_batch is not None:
            next_batch.cancel()
            await asyncio.wait({next_batch})
        await events.aclose()


class _SendTimeout(Exception):
    pass


async def _send(send: Send, body: bytes) -> None:
    try:
        async with asyncio.timeout(SECONDS_TO_TAKE):
            await send({"type": "http.response.body", "body": body, "more_body": True})
    except TimeoutError:
        raise _SendTimeout from None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
