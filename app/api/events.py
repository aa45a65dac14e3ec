"""``GET /events``: what changes, as it happens."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Request, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import Response

from app.api.problems import responses, rest_router
from app.errors import Invalid, TooManyStreams, Unknown
from app.fleet.hop import HOP
from app.shapes.openapi import EVENT_STREAM
from app.watching.feed import TOPICS, Feed, Wanted
from app.web.parameters import there_is
from app.web.streams import EventStream, send_by_websocket

router = rest_router(tags=["events"])


@router.get("/events", response_class=Response, responses=EVENT_STREAM | responses(Unknown, Invalid, TooManyStreams))
async def follow(
    request: Request,
    topics: Annotated[
        str | None, Query(description=f"Some of {', '.join(TOPICS)}, with commas between; all by default.")
    ] = None,
    server: Annotated[str | None, Query(description="Only what is about this server.", max_length=200)] = None,
    everywhere: Annotated[
        str | None, Query(description="Topics that `server` does not narrow, with commas between.")
    ] = None,
    together: Annotated[bool, Query(description="Send what changed together as one `changes` event.")] = False,
    last_event_id: Annotated[str | None, Header(description="The id of the latest event that was received.")] = None,
    heard: Annotated[str | None, Query(description="The same, for clients that cannot set headers.")] = None,
) -> Response:
    """Server-Sent Events: a `snapshot`, then the changes; frequent ones are sent together.

    A change has the name of what changed (`server`, `connection`, `exception`, `journal`, `loop`) and holds its new
    state whole, or the same with `-removed` and its `name` or `id`. With `Last-Event-ID`, the missed changes are
    sent instead of a snapshot, if they are still kept. `end` and `dropped` come last, with a `reason`. With `together`,
    the changes of a moment are one `changes` event: a list of pairs, of name and data; and every 5 s a `beat` tells the
    app's time. As a WebSocket (`WS /events`) each event is a message: JSON with `event`, `id` and `data`.
    """
    wanted = _wanted(request, topics, server, everywhere, together)
    feed = _feed(request)
    return EventStream(request.app.state.streams, feed.follow(last_event_id or heard, wanted), beats=together)


@router.websocket("/events")
async def follow_by_websocket(
    websocket: WebSocket,
    topics: str | None = None,
    server: Annotated[str | None, Query(max_length=200)] = None,
    everywhere: str | None = None,
    together: bool = False,
    heard: str | None = None,
) -> None:
    """The same, for browsers; each event is a message, and a ``beat`` tells the app's time."""
    wanted = _wanted(websocket, topics, server, everywhere, together)
    feed = _feed(websocket)
    await send_by_websocket(websocket.app.state.streams, feed.follow(heard, wanted), websocket)


def _feed(connection: HTTPConnection) -> Feed:
    """Of all nodes, but for another node, which puts them together itself."""
    state = connection.app.state
    found: Feed = state.feed if state.fleet is None or HOP in connection.headers else state.feed_of_all
    return found


def _wanted(
    connection: HTTPConnection, topics: str | None, server: str | None, everywhere: str | None, together: bool
) -> Wanted:
    kinds = frozenset(TOPICS.values()) if topics is None else _kinds("topics", topics)
    whole = frozenset[str]() if everywhere is None else _kinds("everywhere", everywhere)
    there_is(connection, server)
    return Wanted(kinds, server, whole, together)


def _kinds(field: str, text: str) -> frozenset[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in TOPICS]:
        raise Invalid(f"{field}: there is no {unknown[0]!r}; there are {', '.join(TOPICS)}.", field=field)
    return frozenset(TOPICS[name] for name in names)
