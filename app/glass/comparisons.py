"""``/comparisons``: a script of clients, played to several variants, and ``/scripts``, those that are there."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import responses, rest_router
from app.errors import BodyTooLarge, ForeignOrigin, Invalid, NotKept, NotPlayed, ReadOnly, RecordersBusy, Unknown
from app.glass.comparison_runner import ComparisonRunner
from app.glass.recordings import shelf
from app.glass.sheet import as_html, as_json
from app.pages.page import Reader
from app.recordings.recording import Recording
from app.recordings.script import Mistake, Script, parse
from app.recordings.scripts import SCRIPTS
from app.shapes.calls import ComparisonShape, RecordingHead, Scripts, ScriptShape, WholeComparison
from app.shapes.openapi import Responses, described
from app.web.parameters import supervisor
from app.web.place import at

router = rest_router(tags=["recordings"])

CREATED: Responses = {201: {"headers": described({"Location": "The comparison's address."})}}

MOST_SCRIPT = 32_768
MOST_VARIANTS = 4


class Comparison(BaseModel):
    model_config = ConfigDict(extra="forbid")

    script: str = Field(description="TOML, or the name of one of `/scripts`.", min_length=1, max_length=MOST_SCRIPT)
    variants: list[str] = Field(min_length=1, max_length=MOST_VARIANTS, description="Two to four are compared.")


def read_script(text: str) -> Script:
    """A script, or the name of one.

    Raises:
        Invalid: it has a mistake; ``line`` says where.
    """
    if re.fullmatch(r"[a-z0-9-]+", text):
        if text not in SCRIPTS:
            raise Invalid(f"script: there is no script {text!r}; there are {', '.join(SCRIPTS)}.", field="script")
        return SCRIPTS[text].script
    try:
        return parse(text)
    except Mistake as mistake:
        errors = [{"field": "script", "message": str(mistake), "line": mistake.line}]
        raise Invalid(f"script: {mistake}", field="script", errors=errors) from None


def chosen(request: Request, variants: list[str]) -> list[str]:
    """Raises:
    Invalid: one is none, or named twice.
    """
    known = supervisor(request).variants
    for name in variants:
        if name not in known:
            raise Invalid(
                f"variants: there is no variant {name!r}; there are {', '.join(known)}.", field="variants"
            )  # fmt: skip
    if len(set(variants)) < len(variants):
        raise Invalid("variants: one is named twice.", field="variants")
    return variants


def shape(found: list[Recording]) -> ComparisonShape:
    head = found[0].head["comparison"]
    return ComparisonShape(**head, items=[RecordingHead.model_validate(one.head) for one in found])


@router.get("/scripts", responses=responses(Invalid))
async def list_scripts() -> Scripts:
    """The scripts that come with the app, one a lesson."""
    return Scripts(
        items=[
            ScriptShape(
                name=name,
                title=one.script.title,
                lesson=one.lesson,
                variants=list(one.variants),
                script=one.script.text,
                seconds=one.script.seconds,
            )
            for name, one in SCRIPTS.items()
        ]
    )


@router.post(
    "/comparisons",
    status_code=201,
    responses=CREATED | responses(Invalid, RecordersBusy, NotPlayed, NotKept, ReadOnly, ForeignOrigin, BodyTooLarge),
)
async def compare(request: Request, response: Response, given: Comparison) -> ComparisonShape:
    """Play a script of clients to fresh servers of several variants at once; answer with a recording of each."""
    runner: ComparisonRunner = request.app.state.comparison_runner
    script, variants = read_script(given.script), chosen(request, given.variants)
    made = shape(await runner.compare(script, variants))
    response.headers["Location"] = at(f"/comparisons/{made.id}")
    return made


@router.get(
    "/comparisons/{id}",
    response_model=WholeComparison,
    responses=responses(Unknown, Invalid) | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_comparison(
    request: Request,
    id: str,
    format: Annotated[Literal["json", "html"], Query(description="Of the answer.")] = "json",  # noqa: A002
) -> Response:
    """A comparison, with all its recordings."""
    found = shelf(request).compared(id)
    if format == "json":
        return Response(await asyncio.to_thread(as_json, found), media_type="application/json")
    text = await asyncio.to_thread(as_html, found, Reader.of(request).words)
    headers = {"content-disposition": f'attachment; filename="echodeck-comparison-{id}.html"'}
    return Response(text, media_type="text/html", headers=headers)
