"""``/servers/{name}/calls``: what a server calls, while it does."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import Query, Request, WebSocket
from fastapi.responses import Response

from app.api.problems import responses, rest_router
from app.errors import Invalid, NotRunning, TooManyStreams, Unknown
from app.lens.call_records import beginning, state
from app.lens.lenses import Lenses
from app.lens.viewer import Beat, Viewer
from app.shapes.openapi import EVENT_STREAM
from app.watching.event import Event
from app.web.streams import EventStream, send_by_websocket

router = rest_router(prefix="/servers", tags=["servers"])

WithBytes = Annotated[bool, Query(alias="bytes", description="Whether to tell what went through.")]


@router.get(
    "/{name}/calls",
    response_class=Response,
    responses=EVENT_STREAM | responses(Unknown, NotRunning, Invalid, TooManyStreams),
)
async def see_calls(request: Request, name: str, with_bytes: WithBytes = True) -> Response:
    """Each call that the server makes on its sockets and selectors, and each wait of its loop, as Server-Sent Events.

    `begin` says what is seen, and by which clock; `calls` have what was called since, at most ten times a second, with
    what the kernel holds; `end` says why there are no more.
    """
    lenses: Lenses = request.app.state.lenses
    return EventStream(request.app.state.streams, told(lenses.look(name), with_bytes))


@router.websocket("/{name}/calls")
async def see_calls_by_websocket(websocket: WebSocket, name: str) -> None:
    """The same, for browsers; each event is a message."""
    lenses: Lenses = websocket.app.state.lenses
    with_bytes = websocket.query_params.get("bytes", "1") not in ("0", "false")
    await send_by_websocket(websocket.app.state.streams, told(lenses.look(name), with_bytes), websocket)


async def told(viewer: Viewer, with_bytes: bool) -> AsyncGenerator[list[Event], None]:
    try:
        yield [Event("begin", json.dumps(beginning(viewer)))]
        async with aclosing(viewer.beats()) as beats:
            async for beat in beats:
                began = time.thread_time()
                event = Event("calls", as_json(viewer, beat, with_bytes))
                viewer.spent(time.thread_time() - began)
                yield [event]
        yield [Event("end", json.dumps({"reason": viewer.end}))]
    finally:
        viewer.leave()


def as_json(viewer: Viewer, beat: Beat, with_bytes: bool) -> str:
    calls = ",".join([viewer.json(one, viewer.number(one), with_bytes) for one in beat.calls])
    at = max(0.0, beat.at - viewer.began)
    return (
        f'{{"calls":[{calls}],"at":{at:.6f},"state":{json.dumps(state(beat.buffers))},'
        f'"folding":"{beat.folding}","dropped":{beat.dropped}}}'
    )
