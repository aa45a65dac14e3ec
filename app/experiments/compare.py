"""Two results beside each other: what both have measured, and how they differ."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from app.experiments.experiment import MORE_IS_BETTER
from app.experiments.result import Result
from app.experiments.statistics import DIFFERS, JUDGED


class Compared(BaseModel):
    """A figure of one variant at one value, in both."""

    variant: str
    factor: float | None
    figure: str
    before: float
    after: float
    ratio: Annotated[float, Field(description="After by before.")]
    says: Annotated[str, Field(description="As the ranges of the rounds have it: better, worse, or no difference.")]


def compared(before: Result, after: Result) -> list[Compared]:
    """Figures that both have. They were not measured in turns, so that only large differences say something."""
    found = []
    earlier = {(one.variant, one.factor): one for one in before.points}
    for point in after.points:
        other = earlier.get((point.variant, point.factor))
        for figure in JUDGED:
            old, new = getattr(other, figure, None), getattr(point, figure)
            if old and new is not None:
                ratio = new / old
                says = "no difference shown"
                if abs(ratio - 1) >= DIFFERS and _apart(before, after, point.variant, point.factor, figure):
                    says = "better" if (ratio > 1) == (figure in MORE_IS_BETTER) else "worse"
                found.append(
                    Compared(
                        variant=point.variant,
                        factor=point.factor,
                        figure=figure,
                        before=old,
                        after=new,
                        ratio=round(ratio, 3),
                        says=says,
                    )
                )
    return found


def same_machine(before: Result, after: Result) -> bool:
    return before.machine == after.machine


def same_affinity(before: Result, after: Result) -> bool:
    return before.experiment.affinity == after.experiment.affinity


def _apart(before: Result, after: Result, variant: str, factor: float | None, figure: str) -> bool:
    """Whether no round of the one is within the other's range."""

    def values(result: Result) -> list[float]:
        trials = (one for one in result.trials if one.variant == variant and one.factor == factor and not one.spoiled)
        return [value for one in trials if (value := getattr(one, figure)) is not None]

    one, other = values(before), values(after)
    return bool(one and other) and (max(one) < min(other) or max(other) < min(one))
