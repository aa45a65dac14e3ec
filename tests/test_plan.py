"""Plans: what is to be done, in which order, and that doing it leaves nothing to do. Without a loop and without sockets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.declaring import plan
from app.declaring.plan import PLACE, Course, Kind, Plan, Present, Step, collide
from app.supervising.lifecycle import AT_REST, State
from app.supervising.spec import ServerSpec


def spec(name: str, port: int = 8001, **fields: Any) -> ServerSpec:
    return ServerSpec(**{"variant": "asyncio", "port": port, "name": name, **fields})


def is_(name: str, port: int = 8001, state: str = "running", desired: str = "", **fields: Any) -> Present:
    state = State(state)
    wished = desired or ("running" if state in {"running", "starting", "backoff", "failed"} else "stopped")
    return Present(name, spec(name, port, **fields), state, wished)


def steps(made: Plan) -> str:
    return " ".join(f"{step.kind}:{step.name}" for step in made.steps)


CASES = [
    ("is new", [spec("a")], [], "create:a start:a"),
    ("is new and not to start", [spec("a", start=False)], [], "create:a"),
    ("runs as declared", [spec("a")], [is_("a")], ""),
    ("rests as declared", [spec("a", start=False)], [is_("a", state="stopped")], ""),
    ("was stopped by hand", [spec("a")], [is_("a", state="stopped")], "start:a"),
    ("failed", [spec("a")], [is_("a", state="failed")], "start:a"),
    ("crashed and is never to run again by itself", [spec("a")], [is_("a", state="crashed")], "start:a"),
    ("has served its only client", [spec("a")], [is_("a", state="exited")], "start:a"),
    ("has served its only client and is not to start", [spec("a", start=False)], [is_("a", state="exited")], ""),
    ("will be tried again by its policy", [spec("a")], [is_("a", state="backoff")], ""),
    ("is starting", [spec("a")], [is_("a", state="starting")], ""),
    ("is just being stopped by hand", [spec("a")], [is_("a", state="stopping")], "start:a"),
    ("is just being restarted", [spec("a")], [is_("a", state="stopping", desired="running")], ""),
    ("runs and is not to", [spec("a", start=False)], [is_("a")], "stop:a"),
    ("is just being stopped, and is not to run", [spec("a", start=False)], [is_("a", state="stopping")], ""),
    ("waits to be tried again and is not to run", [spec("a", start=False)], [is_("a", state="backoff")], "stop:a"),
    ("failed, and would run at the app's next start", [spec("a", start=False)], [is_("a", state="failed")], "stop:a"),
    ("has another limit", [spec("a", idle_timeout=3)], [is_("a")], "change:a"),
    ("has a limit that the file does not name", [spec("a")], [is_("a", recv_size=10)], "change:a"),
    ("has another limit and is stopped", [spec("a", backlog=1)], [is_("a", state="stopped")], "change:a start:a"),
    ("moves to another port", [spec("a", 8002)], [is_("a")], "stop:a change:a start:a"),
    ("moves to another host", [spec("a", host="::1")], [is_("a")], "stop:a change:a start:a"),
    ("becomes another variant", [spec("a", variant="threads")], [is_("a")], "stop:a change:a start:a"),
    ("moves and is not to run", [spec("a", 8002, start=False)], [is_("a")], "stop:a change:a"),
    ("moves while it rests", [spec("a", 8002, start=False)], [is_("a", state="exited")], "change:a"),
    ("takes any port and has one", [spec("a", 0)], [is_("a", 40000)], ""),
    ("is not declared", [], [is_("a")], ""),
    ("is to be removed, though it is not declared", [], [is_("gone")], "remove:gone"),
    ("is declared, so not removed", [spec("gone")], [is_("gone")], ""),
    ("takes the port of one that is removed", [spec("a")], [is_("gone")], "remove:gone create:a start:a"),
    ("takes the port of one that is stopped", [spec("a"), spec("b", start=False)], [is_("b")], "stop:b create:a start:a"),
    ("swaps ports with another", [spec("a", 1), spec("b", 2)], [is_("a", 2), is_("b", 1)], "stop:a stop:b change:a change:b start:a start:b"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "present", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_a_server_that(declared: list[ServerSpec], present: list[Present], expected: str) -> None:
    made = plan.make(declared, present, {"gone"})
    assert steps(made) == expected
    assert steps(plan.make(declared, present, {"gone"})) == expected
    assert bool(made.kept) is (bool(declared) and not expected)


def test_a_change_tells_each_field_from_what_to_what() -> None:
    (step,) = plan.make([spec("a", idle_timeout=3, nodelay=False)], [is_("a", idle_timeout=5)]).steps
    assert [(one.field, one.before, one.after) for one in step.differences] == [
        ("idle_timeout", 5, 3),
        ("nodelay", True, False),
    ]
    assert step.changes == {"idle_timeout": 3, "nodelay": False}


def test_a_server_is_created_stopped_so_that_it_is_there_even_if_it_cannot_start() -> None:
    create, _ = plan.make([spec("a")], []).steps
    assert create.spec == spec("a", start=False)


def test_a_start_says_from_what() -> None:
    ended = replace(is_("a", state="exited"), ended="served its clients and ended")
    (step,) = plan.make([spec("a")], [ended]).steps
    assert step.why == "it has exited: served its clients and ended"


def test_a_port_that_an_undeclared_server_holds_is_named_beforehand() -> None:
    made = plan.make([spec("a")], [is_("other")])
    assert made.steps[-1].why == "but other, which is not declared, holds its port"
    assert made.undeclared == ("other",)


@pytest.mark.parametrize(
    ("undone", "hindered"),
    [
        ("remove:gone", "start:a"),
        ("create:a", "start:a"),
        ("stop:b", "change:b start:b start:c"),
        ("change:b", "start:c"),  # b runs again as it was, so that its port is not free
        ("change:d", "start:d"),  # d was stopped: better not than as nobody wants it
        ("create:c", "start:c"),
    ],
)
def test_what_depends_on_a_step_that_failed_is_not_tried(undone: str, hindered: str) -> None:
    made = plan.make(
        [spec("a", 1), spec("b", 3), spec("c", 2), spec("d", 4, backlog=7)],
        [is_("gone", 1), is_("b", 2), is_("d", 4, state="stopped")],
        {"gone"},
    )
    course, found = Course(), []
    for step in made.steps:
        key = f"{step.kind}:{step.name}"
        reason = course.hindrance(step)
        if reason:
            assert "first" in reason
            found.append(key)
        if reason or key == undone:
            course.undone[step.key] = "no"
    assert undone in {f"{step.kind}:{step.name}" for step in made.steps}
    assert " ".join(found) == hindered


@pytest.mark.parametrize(
    ("one", "other", "cannot"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::", True),
        ("0.0.0.0", "::", True),
        ("0.0.0.0", "::1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_two_hosts_that_cannot_listen_at_one_port(one: str, other: str, cannot: bool) -> None:
    assert collide(spec("a", host=one), spec("b", host=other)) is cannot
    assert collide(spec("a", host=other), spec("b", host=one)) is cannot
    assert not collide(spec("a", 1, host=one), spec("b", 2, host=other))
    assert not collide(spec("a", 0, host=one), spec("b", 0, host=other))


# Any servers, any declaration


class World:
    """Servers that obey the app's rules, and nothing else: what cannot be done fails the test."""

    def __init__(self, servers: list[Present]) -> None:
        self.servers = {one.name: one for one in servers}

    def do(self, step: Step) -> None:
        now = self.servers.get(step.name)
        if step.kind is Kind.CREATE:
            assert now is None
            assert step.spec
            self.servers[step.name] = Present(step.name, step.spec, State.STOPPED, "stopped")
            return
        assert now is not None
        match step.kind:
            case Kind.REMOVE:
                del self.servers[step.name]
                return
            case Kind.STOP:
                now = replace(now, state=State.STOPPED, desired="stopped")
            case Kind.CHANGE:
                assert now.state in AT_REST or not set(PLACE) & step.changes.keys()
                now = replace(now, spec=now.spec.model_copy(update=step.changes))
            case Kind.START:
                assert not [other for other in self.servers.values() if clash(now, other)]
                now = replace(now, state=State.RUNNING, desired="running")
        self.servers[step.name] = now


def clash(one: Present, other: Present) -> bool:
    return one.name != other.name and other.runs and collide(one.spec, other.spec)


LIVES = [
    ("stopped", "stopped"), ("starting", "running"), ("running", "running"), ("stopping", "stopped"),
    ("stopping", "running"), ("exited", "stopped"), ("crashed", "stopped"), ("backoff", "running"), ("failed", "running"),
]  # fmt: skip

SPECS = st.builds(
    lambda variant, port, host, start, backlog: ServerSpec(
        variant=variant, port=port, host=host, start=start, backlog=backlog
    ),
    st.sampled_from(["asyncio", "threads"]),
    st.integers(1, 4),
    st.sampled_from(["127.0.0.1", "0.0.0.0", "::1"]),
    st.booleans(),
    st.sampled_from([1, 128]),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[ServerSpec], list[Present]]:
    def named(specs: dict[str, ServerSpec]) -> list[ServerSpec]:
        return [one.model_copy(update={"name": name}) for name, one in specs.items()]

    some = st.dictionaries(st.sampled_from("abcde"), SPECS)
    declared = named(draw(some))
    present = []
    for one in named(draw(some)):
        state, desired = draw(st.sampled_from(LIVES))
        present.append(Present(str(one.name), one, State(state), desired))
    assume(not any(one.start and two.start and collide(one, two) for one, two in itertools.combinations(declared, 2)))
    assume(not any(one.runs and clash(one, two) for one, two in itertools.permutations(present, 2)))
    return declared, present


@given(worlds())
def test_a_plan_can_be_done_in_its_order_and_leaves_nothing_to_do(
    found: tuple[list[ServerSpec], list[Present]],
) -> None:
    declared, present = found
    everything = {one.name for one in present}
    world = World(present)
    for step in plan.make(declared, present, everything).steps:
        world.do(step)
    assert plan.make(declared, world.servers.values(), everything).steps == ()
    assert {one.name for one in declared} == world.servers.keys()
    for wanted in declared:
        got = world.servers[str(wanted.name)]
        assert got.runs is wanted.start or got.state is State.STOPPING
        assert got.spec.model_copy(update={"start": wanted.start}) == wanted


@given(worlds(), st.sets(st.tuples(st.sampled_from(Kind), st.sampled_from("abcde"))))
def test_whatever_fails_nothing_impossible_is_tried(
    found: tuple[list[ServerSpec], list[Present]], failing: set[tuple[Kind, str]]
) -> None:
    declared, present = found
    world, course = World(present), Course()
    for step in plan.make(declared, present, {one.name for one in present}).steps:
        if course.hindrance(step) or step.key in failing:
            course.undone[step.key] = "no"
        else:
            world.do(step)
