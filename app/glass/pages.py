"""``/ui/glass``: compare variants, and play what was recorded."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.across.lists import Lists
from app.errors import Refusal
from app.glass.comparison_runner import ComparisonRunner
from app.glass.comparisons import chosen, read_script
from app.glass.recordings import shelf
from app.pages.page import PageRoute, Reader, page
from app.pages.reader import to
from app.recordings.recording import Recording
from app.recordings.script import VERBS
from app.recordings.scripts import SCRIPTS
from app.web.parameters import supervisor

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

FIRST = "three-clients-one-silent"
MOST_READ, MOST_LISTED = 2_000, 500
"""Calls of a recording that is read on each page for those without scripts, and how many of them are listed."""


@router.get("/ui/glass")
async def show_glass(request: Request, lesson: str = FIRST) -> Response:
    return await _glass(request, lesson if lesson in SCRIPTS else FIRST)


@router.post("/ui/comparisons")
async def compare(request: Request) -> Response:
    form = await request.form()
    text, variants = str(form.get("script", "")), [str(one) for one in form.getlist("variants")]
    runner: ComparisonRunner = request.app.state.comparison_runner
    try:
        pending = runner.begin(read_script(text.replace("\r\n", "\n")), chosen(request, variants))
    except Refusal as refusal:
        name = str(form.get("lesson", ""))
        return await _glass(request, name if name in SCRIPTS else FIRST, text, variants, refusal)
    return to(f"/ui/comparisons/{pending.id}")


@router.get("/ui/recordings/{id}")
async def show_recording(request: Request, id: str) -> Response:
    found = shelf(request).one(id)
    return await _playback(request, [found], f"/recordings/{id}", compared=False)


@router.post("/ui/recordings/{id}/forget")
async def forget(request: Request, id: str) -> Response:
    await shelf(request).forget(id)
    return to("/ui/glass")


@router.get("/ui/comparisons/{id}")
async def show_comparison(request: Request, id: str) -> Response:
    runner: ComparisonRunner = request.app.state.comparison_runner
    pending = runner.pending(id)
    if pending is None:
        return await _playback(request, shelf(request).compared(id), f"/comparisons/{id}", compared=True)
    if pending.failure:
        return await _glass(request, FIRST, pending.script.text, list(pending.stages), pending.failure)
    return await page(request, "pending.html", {"pending": pending})


async def _playback(request: Request, found: list[Recording], source: str, compared: bool) -> Response:
    heads = [one.head for one in found]
    comparison = heads[0]["comparison"] if compared else None
    text = comparison["script"] if comparison else None
    lesson = next((one.lesson for one in SCRIPTS.values() if one.script.text == text), None)
    listed = [json.loads(one.whole)["calls"][:MOST_LISTED] if one.head["count"] <= MOST_READ else None for one in found]
    more = {"heads": heads, "comparison": comparison, "source": source, "lesson": lesson, "listed": listed}
    return await page(request, "playback.html", more)


async def _glass(
    request: Request,
    lesson: str,
    text: str | None = None,
    variants: list[str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    words = Reader.of(request).words
    about = SCRIPTS[lesson]
    recordings, missing = await _kept(request)
    more = {
        "scripts": SCRIPTS,
        "lesson": lesson,
        "given": about.script.text if text is None else text,
        "chosen": about.variants if variants is None else variants,
        "variants": list(supervisor(request).variants),
        "verbs": VERBS,
        "lessons": {
            name: {"script": one.script.text, "lesson": words.gettext(one.lesson), "variants": list(one.variants)}
            for name, one in SCRIPTS.items()
        },
        "recordings": recordings,
        "missing": missing,
        "problem": refusal,
        "told": refusal,
    }
    return await page(request, "glass.html", more, refusal.status if refusal else 200)


async def _kept(request: Request) -> tuple[list[dict[str, Any]], list[str]]:
    """The recordings of all nodes, and the nodes that did not answer."""
    if request.app.state.fleet is None:
        return [one.head for one in shelf(request).all()], []
    lists: Lists = request.app.state.lists
    found = await lists.get("/recordings", {})
    return found["items"], found["missing"]
