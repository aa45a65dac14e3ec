"""``/lab/results``: what came out, as JSON, CSV, one HTML file, or a plot."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal, get_args

from fastapi import Query, Request
from fastapi.responses import Response

from app.api.problems import responses, rest_router
from app.errors import Invalid, Unknown
from app.experiments import drawing
from app.experiments.result import Result, as_csv
from app.measuring.experiments import laboratory
from app.measuring.report import as_html, plot, plots_of
from app.pages.page import Reader

router = rest_router(prefix="/lab", tags=["lab"])

Format = Literal["json", "csv", "html", "svg"]
MEDIA_TYPES = {"csv": "text/csv", "html": "text/html", "svg": "image/svg+xml"}


@router.get(
    "/results/{id}",
    response_model=Result,
    responses=responses(Unknown, Invalid)
    | {200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}}},
)
async def get_result(
    request: Request,
    id: str,
    format: Annotated[Format, Query(description="Of the answer.")] = "json",  # noqa: A002
    which: Annotated[
        str | None,
        Query(alias="plot", description="For svg, which; the answer to a wrong one names them.", max_length=50),
    ] = None,
) -> Response:
    """What came out of an experiment; of one that is being measured, so far."""
    result = await asyncio.to_thread(laboratory(request).run(id).result)  # to read a large one takes a while
    if format == "json":
        return Response(result.model_dump_json(by_alias=True), media_type="application/json")
    if format == "csv":
        text = as_csv(result.trials)
    elif format == "html":
        text = as_html(result, Reader.of(request).words)
    else:
        text = drawing.standalone(_plot(result, which, Reader.of(request).words.gettext))
    suffix = f"-{which}" if format == "svg" and which else ""
    headers = {"content-disposition": f'attachment; filename="echodeck-{result.id}{suffix}.{format}"'}
    return Response(text, media_type=MEDIA_TYPES[format], headers=headers)


def _plot(result: Result, which: str | None, words: drawing.Words) -> str:
    known = plots_of(result)
    if which is not None and which not in known:
        raise Invalid(f"plot: there is no plot {which!r}; there are {', '.join(known)}.", field="plot")
    return plot(result, which or known[0], words)


assert set(MEDIA_TYPES) < set(get_args(Format))
