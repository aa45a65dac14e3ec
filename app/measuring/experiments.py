"""``/lab/experiments``: begun, followed, cancelled."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import BaseModel

from app.api.problems import responses, rest_router
from app.errors import BodyTooLarge, ForeignOrigin, Invalid, LabBusy, NotKept, ReadOnly, TargetNotAllowed, Unknown
from app.experiments.built_in import BUILT_IN, EXPERIMENTS
from app.experiments.experiment import Experiment, completed
from app.experiments.run import ExperimentShape
from app.lab.laboratory import Laboratory
from app.shapes.openapi import Responses, described
from app.web.parameters import After, Limit, Wait, cursor, position
from app.web.place import at

router = rest_router(prefix="/lab", tags=["lab"])


class Experiments(BaseModel):
    items: list[ExperimentShape]
    next: str | None


class BuiltInShape(BaseModel):
    """An experiment that is there from the start."""

    name: str
    title: str
    question: str
    guess: str
    guesses: list[str]
    shows: str
    seconds: float
    experiment: Experiment


class BuiltIns(BaseModel):
    items: list[BuiltInShape]


def laboratory(request: Request) -> Laboratory:
    found: Laboratory = request.app.state.laboratory
    return found


@router.get("/built-in", responses=responses(Invalid))
async def list_built_in() -> BuiltIns:
    """The experiments that are there from the start; `POST /lab/experiments` takes their names."""
    return BuiltIns(
        items=[
            BuiltInShape(
                name=name,
                title=one.title,
                question=one.question,
                guess=one.guess,
                guesses=list(one.guesses),
                shows=one.shows,
                seconds=round(one.experiment.least_seconds, 1),
                experiment=one.experiment,
            )
            for name, one in BUILT_IN.items()
        ]
    )


@router.get("/experiments", responses=responses(Invalid))
async def list_experiments(request: Request, limit: Limit = 100, after: After = None) -> Experiments:
    """Those that were begun, the newest first; the latest fifty are kept."""
    before = position("experiments", after)
    found = [run for run in laboratory(request).runs() if not before or run.number < before]
    more = len(found) > limit
    following = cursor("experiments", found[limit - 1].number) if more else None
    return Experiments(items=[ExperimentShape.of(run) for run in found[:limit]], next=following)


LOCATION = {"Location": "The experiment's address."}
APPLIED = {"Preference-Applied": {"description": "`wait` as it was applied.", "schema": {"type": "string"}}}
BEGUN: Responses = {
    202: {"description": "It is being measured.", "headers": described(LOCATION) | APPLIED},
    201: {
        "description": "It is over already: `Prefer: wait` was long enough.",
        "headers": described(LOCATION) | APPLIED,
        "model": ExperimentShape,
    },
}


@router.post(
    "/experiments",
    status_code=202,
    responses=BEGUN | responses(Invalid, LabBusy, TargetNotAllowed, ReadOnly, ForeignOrigin, BodyTooLarge, NotKept),
)
async def begin_experiment(request: Request, response: Response, experiment: Experiment, wait: Wait) -> ExperimentShape:
    """Measure. A built-in one's name is enough, also as a mere string; fields beside it replace its own.

    The answer comes at once; with `Prefer: wait=SECONDS`, once it is over or the time is.
    """
    lab = laboratory(request)
    run = await lab.begin(completed(experiment, EXPERIMENTS))
    response.headers["Location"] = at(f"/lab/experiments/{run.id}")
    if wait is not None:
        response.headers["Preference-Applied"] = f"wait={wait}"
        await lab.wait_for_end(run, wait)
        if run.over:
            response.status_code = 201
    return ExperimentShape.of(run)


@router.get("/experiments/{id}", responses=responses(Unknown, Invalid))
async def get_experiment(request: Request, id: str) -> ExperimentShape:
    """How far it is."""
    return ExperimentShape.of(laboratory(request).run(id))


@router.delete("/experiments/{id}", status_code=204, responses=responses(Unknown, Invalid, ReadOnly, ForeignOrigin))
async def end_experiment(request: Request, id: str) -> None:
    """Cancel it; forget it, with its result, if it is over."""
    await laboratory(request).end(id)
