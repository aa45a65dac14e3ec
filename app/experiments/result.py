"""What came out of an experiment: its trials, what they say together, and what spoiled them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.experiments.experiment import Affinity, Experiment

SCHEMA = 1

State = Literal["waiting", "running", "done", "cancelled", "failed", "cut"]


class NoResult(Exception):
    """A file holds none; the message says what is wrong with it."""


class Machine(BaseModel):
    """What was measured on; without clocks that change by themselves, so that the same machine is the same."""

    system: str
    processor: str
    cores: int
    memory_gb: float
    python: str
    loop: str
    echodeck: str


class Neighbour(BaseModel):
    """A process that used a processor during a trial, and is none of those that are measured."""

    name: str
    pid: int | None
    share: Annotated[float, Field(description="Of one processor.")]


class Trial(BaseModel):
    """One variant at one value of the factor, for some seconds. Latencies in µs, null where too few messages went."""

    model_config = ConfigDict(extra="ignore")

    variant: str
    factor: float | None
    round: int
    messages: int
    msgs_per_s: float
    bytes_per_s: float
    p50_us: float | None
    p90_us: float | None
    p99_us: Annotated[float | None, Field(description="Of 1,000 messages or more.")]
    p999_us: Annotated[float | None, Field(description="Of 10,000 messages or more.")]
    max_us: float | None
    errors: dict[str, int]
    unsent: Annotated[int, Field(description="Messages of an open loop that could not be sent in time.")]
    sustained: Annotated[bool, Field(description="Whether the offered rate was reached.")]
    server_cpu: Annotated[float | None, Field(description="Seconds of a processor, of the server's process.")]
    server_share: Annotated[float | None, Field(description="The same, of the trial's time.")]
    cpu_us_per_message: float | None
    generator_cpu: Annotated[float, Field(description="Seconds of a processor, of the generator.")]
    generator_limited: Annotated[str | None, Field(description="Why the generator was the limit, not the server.")]
    lag_p99_ms: Annotated[float | None, Field(description="How late the server's loop came to what was ready.")]
    memory_per_connection: Annotated[
        float | None, Field(description="Bytes of resident memory; kernel stacks and socket buffers are not in it.")
    ]
    context_switches: int | None
    others: Annotated[float | None, Field(description="Processors that others used: neither server nor generator.")]
    neighbours: list[Neighbour]
    spoiled: Annotated[bool, Field(description="Others used more than they may, and repeating it did not help.")]
    attempts: int
    by_client: Annotated[dict[str, float], Field(description="Messages of a client: least, median, most.")]
    histogram: dict[str, Any]
    series: Annotated[
        list[tuple[int, float]], Field(description="By tenth of a second: messages, and the worst latency in seconds.")
    ]
    heat: Annotated[
        list[dict[int, int]],
        Field(description="By tenth of a second: messages by half octave of latency."),
    ] = []
    affinity: Annotated[Affinity, Field(description="Earlier versions set none: `free`.")] = "free"
    server_cores: Annotated[
        list[int] | None,
        Field(description="On which the server could run; null where that is unknown, as of a server elsewhere."),
    ] = None
    generator_cores: list[int] | None = None


class Point(BaseModel):
    """One variant at one value of the factor, all rounds together: medians, and latencies of all messages merged."""

    variant: str
    factor: float | None
    rounds: int
    msgs_per_s: float
    msgs_per_s_range: tuple[float, float]
    bytes_per_s: float
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p999_us: float | None
    max_us: float | None
    server_share: float | None
    cpu_us_per_message: float | None
    lag_p99_ms: float | None
    memory_per_connection: float | None
    errors: dict[str, int]
    sustained: bool
    generator_limited: str | None
    spoiled: int


class Verdict(BaseModel):
    """Two variants in one figure, from the ratios of their rounds. ``better`` is null where no difference is shown."""

    figure: str
    factor: float | None
    better: str | None
    than: str | None
    between: tuple[str, str]
    ratio: Annotated[float | None, Field(description="Median of the rounds' ratios, the first by the second.")]
    low: float | None
    high: float | None
    rounds: int
    sure: bool
    says: Literal["better", "no difference shown", "can't tell"]


class Noise(BaseModel):
    """What may have spoiled it, in sentences that can be shown."""

    others: Annotated[float | None, Field(description="Processors that others used, in the worst trial that counts.")]
    spoiled: int
    repeated: int
    neighbours: list[Neighbour]
    notes: list[str]


class Held(BaseModel):
    """Whether an expectation held, and the value that decides."""

    figure: str
    variant: str
    factor: float | None
    value: float | None
    below: float | None
    above: float | None
    holds: bool


class Result(BaseModel):
    """An experiment with its figures. ``schema`` is the form of this document."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    schema_: Annotated[int, Field(alias="schema")] = SCHEMA
    id: str
    state: State
    reason: str | None = None
    machine: Machine
    experiment: Experiment
    started: datetime
    ended: datetime | None
    noise: Noise
    trials: list[Trial]
    points: list[Point]
    verdicts: list[Verdict]
    expected: list[Held]

    @field_validator("experiment")
    @classmethod
    def _with_an_affinity(cls, experiment: Experiment) -> Experiment:
        """Earlier versions set none."""
        return experiment if experiment.affinity else experiment.model_copy(update={"affinity": "free"})

    @property
    def cores(self) -> list[tuple[Affinity, str, str]]:
        """Each affinity of the trials, with the server's and the generator's cores as ``0, 1``; empty if unknown."""
        found = ((one.affinity, _listed(one.server_cores), _listed(one.generator_cores)) for one in self.trials)
        return list(dict.fromkeys(found))


def _listed(cores: Sequence[int] | None) -> str:
    return ", ".join(map(str, cores or ()))


def parse(text: str | bytes) -> Result:
    """A result out of a file.

    Raises:
        NoResult: it was cut, is of a later schema, or is something else.
    """
    try:
        found = json.loads(text)
    except ValueError as reason:
        raise NoResult(f"it is no JSON, or was cut: {reason}") from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(schema, int):
        raise NoResult("it is no result of an experiment: it has no schema")
    if schema > SCHEMA:
        raise NoResult(f"it is of schema {schema}; this program knows {SCHEMA}: take a later one")
    try:
        return Result.model_validate(found)
    except ValidationError as reason:
        first = reason.errors()[0]
        raise NoResult(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


_COLUMNS = (
    "variant", "factor", "round", "messages", "msgs_per_s", "bytes_per_s", "p50_us", "p90_us", "p99_us", "p999_us",
    "max_us", "unsent", "server_cpu", "generator_cpu", "cpu_us_per_message", "lag_p99_ms", "memory_per_connection",
    "context_switches", "others", "spoiled", "generator_limited", "affinity", "server_cores", "generator_cores",
)  # fmt: skip


def as_csv(trials: Sequence[Trial]) -> str:
    """A line a trial; errors are counted together."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, "errors"])
    for one in trials:
        values = (getattr(one, name) for name in _COLUMNS)
        row = ["" if value is None else _listed(value) if isinstance(value, list) else value for value in values]
        writer.writerow([*row, sum(one.errors.values())])
    return out.getvalue()
