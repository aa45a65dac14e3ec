"""An experiment that was begun: how far it is, and what there is of its result."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from app.experiments import statistics
from app.experiments.experiment import BETWEEN, Experiment, plan
from app.experiments.result import Machine, NoResult, Result, State, Trial, parse

LEVEL = 2
"""zlib's: for a result as good as a higher one."""

CUT = "the app ended in the midst of it"


@dataclass
class Run:
    id: str
    number: int
    experiment: Experiment
    machine: Machine
    started: datetime
    state: State = "waiting"
    reason: str | None = None
    ended: datetime | None = None
    trials: list[Trial] = field(default_factory=list)
    done: int = 0
    repeated: int = 0
    version: int = 0
    """Grows with each change."""

    began: float = 0.0
    packed: bytes = b""
    """The result as it was last kept."""

    rests: bool = False
    """There is nothing else of it: it is over, and was kept since."""

    def __post_init__(self) -> None:
        self.of = len(plan(self.experiment))

    @classmethod
    def unpacked(cls, id: str, number: int, packed: bytes) -> Self:
        """As it was kept.

        Raises:
            NoResult: that is none.
        """
        result = _unpack(packed)
        run = cls(id, number, result.experiment, result.machine, result.started, result.state, result.reason)
        run.ended, run.done, run.repeated, run.packed = result.ended, len(result.trials), result.noise.repeated, packed
        run.rests = run.over
        return run

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "running")

    @property
    def seconds_left(self) -> float:
        if self.over:
            return 0.0
        each = self.experiment.warm_up + self.experiment.seconds + BETWEEN
        if self.done >= 3:
            each = (time.monotonic() - self.began) / self.done
        return round(each * (self.of - self.done), 1)

    def add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self.done = len(self.trials)
        self.version += 1

    def cut(self) -> None:
        """Of one that was kept while it was measured."""
        trials = _unpack(self.packed).trials
        self.state, self.reason, self.trials = "cut", CUT, trials
        self.pack()

    def pack(self) -> bytes:
        """Keep the result as it is now."""
        packed = zlib.compress(self.result().model_dump_json(by_alias=True).encode(), LEVEL)
        self.packed = packed
        if self.over:
            self.trials, self.rests = [], True
        return packed

    def result(self) -> Result:
        """With what there is so far."""
        if self.rests:
            return _unpack(self.packed)
        trials = list(self.trials)
        points = statistics.points(self.experiment, trials)
        return Result(
            id=self.id,
            state=self.state,
            reason=self.reason,
            machine=self.machine,
            experiment=self.experiment,
            started=self.started,
            ended=self.ended,
            noise=statistics.noise(trials, self.repeated),
            trials=trials,
            points=points,
            verdicts=statistics.verdicts(self.experiment, trials),
            expected=statistics.expected(self.experiment, points),
        )


def _unpack(packed: bytes) -> Result:
    try:
        return parse(zlib.decompress(packed))
    except zlib.error as reason:
        raise NoResult(str(reason)) from None


class Progress(BaseModel):
    trial: Annotated[int, Field(description="How many are done.")]
    of: int
    seconds_left: Annotated[float, Field(description="As far as can be seen; trials that are spoiled are repeated.")]


class ExperimentShape(BaseModel):
    """How far an experiment is."""

    id: str
    name: str | None
    question: str
    state: State
    reason: str | None
    progress: Progress
    variants: list[str]
    factor: str | None
    started: datetime
    ended: datetime | None
    result: Annotated[str, Field(description="Address of what came out, so far.")]

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(
            id=run.id,
            name=run.experiment.name,
            question=run.experiment.question,
            state=run.state,
            reason=run.reason,
            progress=Progress(trial=run.done, of=run.of, seconds_left=run.seconds_left),
            variants=run.experiment.labels,
            factor=run.experiment.factor,
            started=run.started,
            ended=run.ended,
            result=f"/lab/results/{run.id}",
        )
