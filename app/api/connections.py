"""``/connections``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, WebSocket
from fastapi.responses import Response

from app.api.problems import responses, rest_router
from app.errors import ForeignOrigin, Invalid, NotAccepted, ReadOnly, TooManyStreams, Unknown
from app.shapes.connections import Connections, ConnectionShape
from app.shapes.openapi import EVENT_STREAM
from app.supervising.supervisor import Supervisor
from app.watching.tap import watch
from app.web.parameters import After, Limit, cut, page_of, position, supervisor, there_is
from app.web.streams import EventStream, send_by_websocket

router = rest_router(prefix="/connections", tags=["connections"])

OfServer = Annotated[str | None, Query(description="Only those of this server.", max_length=200)]


@router.get("", response_model=Connections, responses=responses(Unknown, Invalid))
async def list_connections(
    request: Request, server: OfServer = None, limit: Limit = 1000, after: After = None
) -> Response:
    """The clients inside and those in the accept queues, in the order in which they were first seen."""
    found = supervisor(request)
    start = position("connections", after)
    there_is(request, server)
    more = await found.connections.page(start, limit + 1, server)
    page, following = cut("connections", more, limit, lambda one: one.number)
    rows = (ConnectionShape.row(one, found.roster) for one in page)
    return page_of(filter(None, rows), following)


@router.get("/{id}", responses=responses(Unknown, Invalid))
async def get_connection(request: Request, id: str) -> ConnectionShape:
    """One connection, as it is now."""
    found = supervisor(request)
    now = ConnectionShape.of(await found.connections.find(id), found.roster)
    if now is None:
        raise Unknown(f"The connection {id!r} has just ended.", what="connection")
    return now


@router.get(
    "/{id}/tap",
    response_class=Response,
    responses=EVENT_STREAM | responses(Unknown, NotAccepted, Invalid, TooManyStreams),
)
async def tap(request: Request, id: str) -> Response:
    """The connection's bytes as they go through, as Server-Sent Events.

    `opened` has the connection, `bytes` a time, a direction (`in` is from the client) and the bytes in base64, `lost`
    how many bytes could not be kept for a slow reader, and `closed` comes last.
    """
    found = supervisor(request)
    client = await found.connections.accepted(id)
    return EventStream(request.app.state.streams, watch(client, found.roster))


@router.websocket("/{id}/tap")
async def tap_by_websocket(websocket: WebSocket, id: str) -> None:
    """The same, for browsers; each event is a message."""
    found: Supervisor = websocket.app.state.supervisor
    client = await found.connections.accepted(id)
    await send_by_websocket(websocket.app.state.streams, watch(client, found.roster), websocket)


@router.delete("/{id}", status_code=204, responses=responses(Unknown, NotAccepted, Invalid, ReadOnly, ForeignOrigin))
async def hang_up(request: Request, id: str) -> None:
    """Hang up; answer once the server has let go of it, or after a second."""
    await supervisor(request).connections.hang_up(id)
