"""``/ui/lab``: choose or write an experiment, guess, watch it, and read what it shows."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from app.errors import Invalid, Refusal, Unknown
from app.experiments.built_in import BUILT_IN, EXPERIMENTS
from app.experiments.compare import compared
from app.experiments.experiment import Experiment, completed
from app.experiments.run import ExperimentShape
from app.measuring.experiments import laboratory
from app.measuring.report import values
from app.pages.page import PageRoute, Reader, page
from app.pages.reader import to
from app.web.parameters import supervisor
from app.web.problems import explain

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=PageRoute)

NUMBERS = ("clients", "size", "rate", "think")
ONE_NUMBER = ("seconds", "rounds", "warm_up", "pipeline", "slow", "silent")


@router.get("/ui/lab")
async def show_lab(request: Request) -> Response:
    return await _lab(request, {}, None, 200)


@router.get("/ui/lab/{name}")
async def show_built_in(request: Request, name: str) -> Response:
    if name not in BUILT_IN:
        raise Unknown(f"There is no built-in experiment {name!r}.", what="experiment")
    before = [run for run in laboratory(request).runs() if run.experiment.name == name]
    more = {
        "name": name,
        "built_in": BUILT_IN,
        "one": BUILT_IN[name],
        "before": [ExperimentShape.of(run) for run in before],
    }
    return await page(request, "experiment.html", more)


@router.post("/ui/lab")
async def begin(request: Request) -> Response:
    """A built-in one with a guess, or one of one's own."""
    form = await request.form()
    given = {name: str(value) for name, value in form.items()}
    try:
        run = await laboratory(request).begin(completed(_experiment(form), EXPERIMENTS))
    except Refusal as refusal:
        return await _lab(request, given, refusal, refusal.status)
    guess = given.get("guess", "")
    return to(f"/ui/lab/experiments/{run.id}" + (f"?guess={guess}" if guess.isdecimal() else ""))


@router.get("/ui/lab/experiments/{id}")
async def show_experiment(request: Request, id: str, guess: str = "", beside: str = "") -> Response:
    lab = laboratory(request)
    run = lab.run(id)
    result = await asyncio.to_thread(run.result)  # to read a large one, and to draw, takes a while
    others = [
        one for one in lab.runs() if one.id != id and one.over and one.experiment.labels == result.experiment.labels
    ]
    other = await asyncio.to_thread(lab.run(beside).result) if beside else None
    found = await asyncio.to_thread(values, result, Reader.of(request).words)
    more = {
        "shape": ExperimentShape.of(run),
        "guess": int(guess) if guess.isdecimal() and len(guess) < 3 else None,
        "others": [ExperimentShape.of(one) for one in others],
        "beside": other,
        "compared": compared(result, other) if other else [],
    }
    return await page(request, "result.html", found | more)


@router.post("/ui/lab/experiments/{id}/end")
async def end(request: Request, id: str) -> Response:
    lab = laboratory(request)
    over = lab.run(id).over
    await lab.end(id)
    return to("/ui/lab" if over else f"/ui/lab/experiments/{id}")


async def _lab(request: Request, given: dict[str, str], refusal: Refusal | None, status: int) -> Response:
    shapes = [ExperimentShape.of(run) for run in laboratory(request).runs()]
    variants = [one for one in supervisor(request).variants.values() if one.wire.clients != "one in all"]
    more = {
        "built_in": BUILT_IN,
        "runs": shapes,
        "variants": variants,
        "given": given,
        "problem": refusal,
        "defaults": Experiment(),
    }
    return await page(request, "lab.html", more, status)


def _experiment(form: FormData) -> Experiment:
    """Raises:
    Invalid: the form says something that is none.
    """
    fields: dict[str, Any] = {}
    if name := str(form.get("name", "")):
        fields["name"] = name
    fields |= {field: _numbers(field, text) for field in NUMBERS if (text := str(form.get(field, "")).strip())}
    for field in ONE_NUMBER:
        if text := str(form.get(field, "")).strip():
            fields[field] = _number(field, text)
    if chosen := [str(one) for one in form.getlist("variants")]:
        fields["variants"] = chosen
    for field in ("question", "compare_with", "in", "affinity"):
        if text := str(form.get(field, "")).strip():
            fields[field] = text
    if form.get("churn"):
        fields["churn"] = True
    if "rate" in fields:
        fields["loop"] = "open"
    try:
        return Experiment.model_validate(fields)
    except ValidationError as reason:
        raise explain([{**one, "loc": ("body", *one["loc"])} for one in reason.errors()]) from None


def _numbers(field: str, text: str) -> list[float]:
    return [_number(field, one) for one in re.split(r"[\s,;]+", text) if one]


def _number(field: str, text: str) -> float:
    try:
        found = float(text.replace("_", ""))
    except ValueError:
        raise Invalid(f"{field}: {text!r} is no number.", field=field) from None
    return int(found) if found.is_integer() else found
