"""Streams of events to readers that may be slow or disconnected: Server-Sent Events (html.spec.whatwg.org,
"Server-sent events"), or the messages of a WebSocket.

A reader that takes nothing for ``SECONDS_TO_TAKE`` is dropped, and gets the reason if it reads on. The number of
readers is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.clock import Clock
from app.errors import TooManyStreams
from app.watching.event import Event

log = logging.getLogger("echodeck.streams")

SECONDS_TO_TAKE = 10.0
SECONDS_OF_SILENCE = 15.0
"""After which a comment is sent, so that both ends detect a broken connection."""

BEAT_SECONDS = 5.0

CLOSED_BY_THE_APP = 1012
"""The close code (RFC 6455, 7.4.1) at the stream's end: the app stops."""

RECONNECT_MS = 1000
PIECE = 65_536

WORTH_A_LINE = frozenset(10**power for power in range(10))
"""Of refusals, the log shows the first, the tenth, the hundredth, and so on."""

DROP = "echodeck.drop"
"""Name of the scope's extension that ends a stalled connection: called with the last bytes to send, if any."""


class Streams:
    """Counts the open streams, at most ``most``; those ``dropped`` because their reader was too slow; and those that
    were ``refused`` because there were too many. ``build`` is told to pages, so that an older one knows that it is."""

    def __init__(self, most: int, build: Callable[[], str]) -> None:
        self.open = 0
        self.dropped = 0
        self.refused = 0
        self.most = most
        self._build = build

    @property
    def build(self) -> str:
        return self._build()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Raises:
        TooManyStreams: the bound is reached.
        """
        if self.open >= self.most:
            self.refused += 1
            if self.refused in WORTH_A_LINE:
                log.warning("refuses streams: %d are open, which is the limit", self.open)
            raise TooManyStreams(
                f"{self.most} streams are open, which is the limit; "
                "close one, or start the app with a higher --streams.",
                limit=self.most,
                headers={"Retry-After": "5"},
            )
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def note_dropped(self, scope: Scope) -> str:
        """A reader took nothing for too long; returns why it was dropped, in words."""
        self.dropped += 1
        reason = f"nothing was taken for {SECONDS_TO_TAKE:g} s"
        log.warning("dropped a reader of %s at %s: %s", scope["path"], (scope.get("client") or ["?"])[0], reason)
        return reason


class EventStream(Response):
    """Sends the events as Server-Sent Events until they end, or the reader disconnects.

    With ``beats`` there is a ``beat`` every ``BEAT_SECONDS``; without, a comment after ``SECONDS_OF_SILENCE``.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, events: AsyncGenerator[list[Event], None], beats: bool = False) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._events = events
        self._beats = beats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.opened():
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope.get("state", {}).get("head"):
                await send({"type": "http.response.body", "body": b""})
                return
            await _until_either_ends(self._send_all(scope, send), _disconnected(receive))

    async def _send_all(self, scope: Scope, send: Send) -> None:
        try:
            await _in_time(_body(send, f"retry: {RECONNECT_MS}\n\n".encode()))
            async with aclosing(_paced(self._events, self._beats, self._streams.build)) as batches:
                async for batch in batches:
                    text = b"".join(event.encoded for event in batch) or b": still here\n\n"
                    for start in range(0, len(text), PIECE):
                        await _in_time(_body(send, text[start : start + PIECE]))
            await send({"type": "http.response.body", "body": b""})
        except _SendTimeout:
            last = Event("dropped", f'{{"reason":"{self._streams.note_dropped(scope)}"}}')
            if drop := scope.get("extensions", {}).get(DROP):
                drop(last.encoded)


async def send_by_websocket(streams: Streams, events: AsyncGenerator[list[Event], None], websocket: WebSocket) -> None:
    """Send the events as messages, with beats, until they end or the reader disconnects.

    A browser opens only six connections to one host for everything else; WebSockets do not count among them.

    Raises:
        TooManyStreams: before the WebSocket is accepted.
    """
    with streams.opened():
        await websocket.accept()
        await _until_either_ends(_send_messages(streams, events, websocket), _disconnected(websocket.receive))


async def _send_messages(streams: Streams, events: AsyncGenerator[list[Event], None], websocket: WebSocket) -> None:
    try:
        async with aclosing(_paced(events, True, streams.build)) as batches:
            async for batch in batches:
                for event in batch:
                    await _in_time(websocket.send_text(event.message))
        await _in_time(websocket.close(CLOSED_BY_THE_APP))
    except _SendTimeout:
        streams.note_dropped(websocket.scope)
        if drop := websocket.scope.get("extensions", {}).get(DROP):
            drop(b"")
    except WebSocketDisconnect:
        pass


async def _paced(
    events: AsyncGenerator[list[Event], None], beats: bool, build: str
) -> AsyncGenerator[list[Event], None]:
    """The same, with beats among them, or an empty batch after ``SECONDS_OF_SILENCE``."""
    next_batch = None
    now = asyncio.get_running_loop().time
    due = now()
    try:
        while True:
            if beats and now() >= due:
                due = now() + BEAT_SECONDS
                yield [beat(build)]
            next_batch = next_batch or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({next_batch}, timeout=due - now() if beats else SECONDS_OF_SILENCE)
            if done:
                try:
                    batch = next_batch.result()
                except StopAsyncIteration:
                    return
                next_batch = None
                yield batch
            elif not beats:
                yield []
    finally:
        if next_batch is not None:
            next_batch.cancel()
            await asyncio.wait({next_batch})
        await events.aclose()


def beat(build: str) -> Event:
    """The app's time of day, by which a page tells ages; which build it is; and that the stream is alive."""
    return Event("beat", f'{{"at":"{Clock().wall().isoformat()}","build":"{build}"}}')


async def _until_either_ends(*works: Coroutine[Any, Any, None]) -> None:
    tasks = {asyncio.create_task(work) for work in works}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class _SendTimeout(Exception):
    pass


async def _body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _in_time(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(SECONDS_TO_TAKE):
            await sending
    except TimeoutError:
        raise _SendTimeout from None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
        pass
