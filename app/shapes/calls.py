"""The JSON of calls, of recordings of them, and of comparisons."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class CallShape(BaseModel):
    """One call, or ``times`` equal ones. ``at`` and ``took`` in seconds; ``took`` is null until it has returned."""

    n: int
    at: float
    took: float | None
    thread: str
    task: str | None
    call: str
    on: str
    args: dict[str, Any]
    result: int | str | None
    errno: str | None
    bytes: str | None
    line: int | None
    times: int
    last: float | None = None
    peer: str | None = None


class BuffersShape(BaseModel):
    """What the kernel held ``at`` that time: clients in the accept queue, and bytes by connection."""

    at: float
    queue: int
    unread: dict[str, int]
    unsent: dict[str, int]


class StepShape(BaseModel):
    """What a client of a script did; ``at`` on the recording's clock."""

    at: float
    took: float | None
    does: str
    error: str | None
    peer: str | None = None
    bytes: str | None = None
    size: int | None = None


class ScriptedClientShape(BaseModel):
    name: str
    at: float
    peer: str | None
    connection: str | None
    did: list[StepShape]


class ComparisonHead(BaseModel):
    id: str
    title: str
    script: str
    recordings: list[str]
    variants: list[str]


class RecordingHead(BaseModel):
    """A recording without its calls. ``monotonic`` is its time 0 by the machine's clock; ``zero`` that of the script
    on the recording's own."""

    id: str
    server: str
    variant: str
    file: str
    runs_on: Literal["loop", "thread"]
    at: datetime
    monotonic: float
    waits: bool
    unseen: str | None
    connections: dict[str, str]
    folding: Literal["runs", "second"]
    dropped: int
    seconds: float
    state: Literal["done", "stopped", "full"]
    count: int
    clients: list[ScriptedClientShape] | None
    zero: float
    comparison: ComparisonHead | None


class RecordingShape(RecordingHead):
    calls: list[CallShape]
    states: list[BuffersShape]
    source: str


class RecordingHeads(BaseModel):
    items: list[RecordingHead]
    next: str | None


class ComparisonShape(ComparisonHead):
    """With a recording of each variant, on one time axis: a call's is its ``at`` minus the recording's ``zero``."""

    items: list[RecordingHead]


class WholeComparison(ComparisonHead):
    items: list[RecordingShape]


class ScriptShape(BaseModel):
    name: str
    title: str
    lesson: str
    variants: list[str]
    script: str
    seconds: float


class Scripts(BaseModel):
    items: list[ScriptShape]
