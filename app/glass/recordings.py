"""``/recordings``: made, listed, fetched as JSON, as a Chrome trace or as one HTML file, and forgotten."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import responses, rest_router
from app.errors import (
    BodyTooLarge,
    ForeignOrigin,
    Invalid,
    NotKept,
    NotRunning,
    ReadOnly,
    RecordersBusy,
    Unknown,
)
from app.glass.recorder import MOST_SECONDS, Recorder
from app.glass.sheet import as_html
from app.glass.shelf import Shelf
from app.pages.page import Reader
from app.recordings.chrome import as_trace
from app.shapes.calls import RecordingHead, RecordingHeads, RecordingShape
from app.shapes.openapi import Responses, described
from app.web.parameters import After, Limit, cursor, position
from app.web.place import at

router = rest_router(tags=["recordings"])

CREATED: Responses = {201: {"headers": described({"Location": "The recording's address."})}}

Format = Literal["json", "chrome", "html"]


class Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(5.0, gt=0, le=MOST_SECONDS, description="For how long.")


def shelf(request: Request) -> Shelf:
    found: Shelf = request.app.state.shelf
    return found


@router.post(
    "/servers/{name}/recordings",
    status_code=201,
    responses=CREATED
    | responses(Unknown, NotRunning, Invalid, RecordersBusy, NotKept, ReadOnly, ForeignOrigin, BodyTooLarge),
)
async def record(request: Request, response: Response, name: str, given: Recorded | None = None) -> RecordingHead:
    """Record the server's calls; answer when the time is over or the server has ended."""
    recorder: Recorder = request.app.state.recorder
    made = await recorder.record(name, (given or Recorded.model_construct(seconds=5.0)).seconds)
    response.headers["Location"] = at(f"/recordings/{made.id}")
    return RecordingHead.model_validate(made.head)


@router.get("/recordings", responses=responses(Invalid))
async def list_recordings(request: Request, limit: Limit = 100, after: After = None) -> RecordingHeads:
    """What was recorded, the newest first; the latest fifty are kept."""
    before = position("recordings", after)
    found = [one for one in shelf(request).all() if not before or one.number < before]
    following = cursor("recordings", found[limit - 1].number) if len(found) > limit else None
    return RecordingHeads(items=[RecordingHead.model_validate(one.head) for one in found[:limit]], next=following)


@router.get(
    "/recordings/{id}",
    response_model=RecordingShape,
    responses=responses(Unknown, Invalid) | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_recording(
    request: Request,
    id: str,
    format: Annotated[  # noqa: A002
        Format, Query(description="Of the answer: `chrome` is a trace for Perfetto, `html` one file.")
    ] = "json",
) -> Response:
    """A recording, whole."""
    found = shelf(request).one(id)
    headers = {}
    if format == "json":
        text, kind = await asyncio.to_thread(lambda: found.whole), "application/json"
    elif format == "chrome":
        text, kind = await asyncio.to_thread(lambda: as_trace(json.loads(found.whole))), "application/json"
    else:
        words = Reader.of(request).words
        text, kind = await asyncio.to_thread(as_html, [found], words), "text/html"
    if format != "json":
        name = "".join(char if char.isalnum() or char in "-." else "-" for char in f"{found.head['server']}-{id}")
        ending = "trace.json" if format == "chrome" else "html"
        headers["content-disposition"] = f'attachment; filename="echodeck-{name}.{ending}"'
    return Response(text, media_type=kind, headers=headers)


@router.delete(
    "/recordings/{id}",
    status_code=204,
    responses=responses(Unknown, Invalid, NotKept, ReadOnly, ForeignOrigin),
)
async def forget_recording(request: Request, id: str) -> None:
    """Forget it."""
    await shelf(request).forget(id)
