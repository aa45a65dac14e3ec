"""From the servers that are to those that are declared: the steps, in an order that works, and why each is there.

What frees a place (a remove, a stop) goes before what is moved there, and that before what starts: even two servers
that swap their ports come out right. A declared server that is to run is started whenever it is at rest, whatever from:
it was stopped by hand, it failed, or it has served its only client and ended; ``start = false`` leaves the latter as it
is. One that its policy will run again soon is left to its policy.

Data and decisions only: a plan is carried out by ``upkeep``, in the app, or by ``echodeck apply``, over REST.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.supervising.lifecycle import AT_REST, State
from app.supervising.spec import PLACE, Limits, ServerSpec

FIELDS = (*PLACE, "on", *Limits.model_fields)
"""What can differ between a server and its declaration; whether it runs is another matter."""


class Kind(StrEnum):
    """What a step does; in this order a plan does it. Steps of one kind can be done all at once."""

    REMOVE = "remove"
    STOP = "stop"
    CHANGE = "change"
    CREATE = "create"
    START = "start"


DONE = {
    Kind.REMOVE: "removed",
    Kind.STOP: "stopped",
    Kind.CHANGE: "changed",
    Kind.CREATE: "created",
    Kind.START: "started",
}

Key = tuple[Kind, str]
"""A step is known by its kind and its server."""


@dataclass(frozen=True)
class Present:
    """A server as it is. ``ended`` says how its latest run ended."""

    name: str
    spec: ServerSpec
    state: State
    desired: str
    ended: str = ""

    @property
    def runs(self) -> bool:
        """Whether it holds its place, or will again by itself."""
        return self.state not in AT_REST


@dataclass(frozen=True)
class Difference:
    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Step:
    """``spec`` is what a server is created as, which is stopped at first. ``why`` is for people, and may be empty.

    ``needs`` are steps without which this one is not worth trying.
    """

    kind: Kind
    name: str
    spec: ServerSpec | None = None
    differences: tuple[Difference, ...] = ()
    why: str = ""
    needs: frozenset[Key] = frozenset()

    @property
    def key(self) -> Key:
        return self.kind, self.name

    @property
    def changes(self) -> dict[str, Any]:
        """The body of a PATCH."""
        return {one.field: one.after for one in self.differences}


@dataclass(frozen=True)
class Plan:
    """``kept`` are declared servers that are as they should be, ``undeclared`` those that nobody declares, and stay."""

    steps: tuple[Step, ...] = ()
    kept: tuple[str, ...] = ()
    undeclared: tuple[str, ...] = ()

    def by_server(self) -> Iterator[list[Step]]:
        """The steps of each server together, the servers in the order of their first step."""
        together: dict[str, list[Step]] = {}
        for step in self.steps:
            together.setdefault(step.name, []).append(step)
        yield from together.values()


@dataclass
class Course:
    """How far a plan got: tells for each step whether it is hindered by one that was not done."""

    undone: dict[Key, str] = field(default_factory=dict)
    """Steps that failed or were not tried, and why."""

    def hindrance(self, step: Step) -> str | None:
        """Why a step is not to be tried, from what was noted of others."""
        for kind, name in sorted(step.needs & self.undone.keys()):
            return f"needs to {kind} {name} first, which was not done"
        return None


def make(declared: Sequence[ServerSpec], present: Iterable[Present], remove: Collection[str] = ()) -> Plan:
    """The plan for servers that have names, no two of which are to run at one place.

    ``remove`` names servers to be removed if they are there and not declared. Others that are not declared stay.
    """
    there = {one.name: one for one in present}
    wanted = {_name(spec): spec for spec in declared}
    gone = [name for name in there if name in remove and name not in wanted]
    steps: dict[Key, Step] = {}

    def add(kind: Kind, name: str, **more: Any) -> None:
        steps[kind, name] = Step(kind, name, **more)

    for name in gone:
        add(Kind.REMOVE, name)
    for name, spec in wanted.items():
        now = there.get(name)
        if now is None:
            add(Kind.CREATE, name, spec=spec.model_copy(update={"start": False}))
            continue
        differences = tuple(_differences(now.spec, spec))
        moves = any(one.field in PLACE for one in differences)
        if _wants_stop(now, spec) or (moves and now.runs):
            add(Kind.STOP, name, why="to move it" if spec.start else "")
        if differences:
            needs = {(Kind.STOP, name)} if moves and now.runs else set()
            add(Kind.CHANGE, name, differences=differences, needs=frozenset(needs))
    holders: dict[int, list[Present]] = {}
    for one in there.values():
        if one.runs:
            holders.setdefault(one.spec.port, []).append(one)
    for name, spec in wanted.items():
        if spec.start and _wants_start(there.get(name), (Kind.STOP, name) in steps):
            for other in holders.get(spec.port, []):
                ends = other.state is State.STOPPING and other.name in wanted and other.name != name
                if ends and collide(other.spec, spec):
                    steps.setdefault((Kind.STOP, other.name), Step(Kind.STOP, other.name, why="to free its port"))
    for name, spec in wanted.items():
        if spec.start and _wants_start(there.get(name), (Kind.STOP, name) in steps):
            needs, why = _before_start(there.get(name), spec, holders.get(spec.port, []), steps)
            add(Kind.START, name, why=why, needs=frozenset(needs))
    order = list(Kind)
    touched = {name for _, name in steps}
    return Plan(
        tuple(sorted(steps.values(), key=lambda step: order.index(step.kind))),
        tuple(name for name in wanted if name not in touched),
        tuple(name for name in there if name not in wanted and name not in gone),
    )


def _name(spec: ServerSpec) -> str:
    assert spec.name, "a declared server has a name"
    return spec.name


def _differences(now: ServerSpec, then: ServerSpec) -> Iterator[Difference]:
    for name in FIELDS:
        before, after = getattr(now, name), getattr(then, name)
        if before != after and not (name == "port" and after == 0):  # any port will do
            yield Difference(name, before, after)


def _wants_stop(now: Present, spec: ServerSpec) -> bool:
    """One that rests but is wished to run would run again at the app's next start."""
    return not spec.start and (now.desired == "running" or (now.runs and now.state is not State.STOPPING))


def _wants_start(now: Present | None, stopped_first: bool) -> bool:
    return now is None or stopped_first or not now.runs or now.desired == "stopped"


def _before_start(
    now: Present | None, spec: ServerSpec, at_its_port: list[Present], steps: dict[Key, Step]
) -> tuple[set[Key], str]:
    """The steps that must be done before a start, and the start's remark."""
    name = _name(spec)
    needs = {(Kind.CREATE, name)} if now is None else set()
    if (Kind.STOP, name) in steps:
        needs.add((Kind.STOP, name))  # not the change: if that is refused, it runs again as it was
    elif (Kind.CHANGE, name) in steps:
        needs.add((Kind.CHANGE, name))
    why = f"it {_rest(now)}" if now is not None and not needs & {(Kind.STOP, name)} else ""
    for other in at_its_port:
        if other.name == name or not collide(other.spec, spec):
            continue
        frees = {(Kind.REMOVE, other.name), (Kind.STOP, other.name)} & steps.keys()
        if frees and (Kind.CHANGE, other.name) in steps:
            frees.add((Kind.CHANGE, other.name))
        if not frees:
            why = f"but {other.name}, which is not declared, holds its port"
        needs |= frees
    return needs, why


def _rest(now: Present) -> str:
    return f"{'is' if now.state in {State.STOPPED, State.STOPPING} else 'has'} {now.state}" + (
        f": {now.ended}" if now.ended and now.state is not State.STOPPED else ""
    )


def collide(one: ServerSpec, other: ServerSpec) -> bool:
    """Whether two servers cannot listen at once, as far as their hosts' names tell; ``::`` takes IPv4 too."""
    if one.port != other.port or not one.port:
        return False
    hosts = {{"localhost": "127.0.0.1"}.get(spec.host.lower(), spec.host.lower()) for spec in (one, other)}
    if len(hosts) == 1 or "::" in hosts:
        return True
    return "0.0.0.0" in hosts and not any(":" in host for host in hosts)  # noqa: S104  # compared with
