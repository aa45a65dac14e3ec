"""The parts of a fleet that need no engine: placement, the fence, a tunnel's frames, the picture of the keys."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.across.tunnel import Boundaries
from app.etcd.fence import Fence, now
from app.etcd.gateway import Access, Record
from app.etcd.lease import Lease, LeaseRefused, LeaseTimes
from app.fleet.fleet import LOST_FOR, Fleet, FleetSettings
from app.fleet.keys import CLAIMS, NODES, SERVERS, NodeValue, ServerValue
from app.fleet.peers import Proofs
from app.fleet.picture import Picture
from app.fleet.placement import assigned, gives_one_up, loads
from app.fleet.registry import spec_of
from app.supervising.supervisor import Supervisor
from tests.checking import Record as Seen
from tests.helpers import until

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), unique=True, max_size=30)
LOADS = st.dictionaries(st.sampled_from(["n1", "n2", "n3", "n4"]), st.integers(0, 30), max_size=4)


# Placement


@given(NAMES, LOADS)
def test_what_nobody_has_goes_to_the_fewest(orphans: list[str], load: dict[str, int]) -> None:
    found = assigned(orphans, load)
    assert found == assigned(orphans[::-1], load)  # every node comes to the same answer
    if not load:
        assert found == {}
        return
    assert set(found) == set(orphans)
    after = {node: count + sum(one == node for one in found.values()) for node, count in load.items()}
    for node, count in after.items():
        if count > load[node]:  # it was given one: then no other has so few that it should have had it
            assert count - 1 <= min(after.values())


@given(LOADS)
def test_one_node_at_most_hands_over_and_never_in_vain(load: dict[str, int]) -> None:
    givers = [node for node in load if gives_one_up(node, load)]
    assert len(givers) <= 1
    for node in givers:
        assert load[node] - 1 >= min(load.values()) + 1
    if load and max(load.values()) - min(load.values()) < 2:
        assert givers == []


def test_loads_count_those_that_take_some_only() -> None:
    assert loads(["a", "b", "a", "", "gone"], ["a", "b", "c"]) == {"a": 2, "b": 1, "c": 0}


def test_who_drains_or_leaves_takes_nothing() -> None:
    nodes = [NodeValue(url=""), NodeValue(url="", drains=True), NodeValue(url="", leaves=True)]
    assert [one.takes for one in nodes] == [True, False, False]


# Lost nodes


def node_record(name: str) -> Record:
    return Record(NODES + name, NodeValue(url=f"http://{name}").text(), 1, 1, 1)


async def test_a_lost_node_is_listed_for_a_while_and_as_long_as_a_server_is_pinned_to_it(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FleetSettings(Access(("http://127.0.0.1:1",)), "here", "127.0.0.1", LeaseTimes())
    fleet = Fleet(settings, supervisor, None, "1")
    for name in ("gone", "needed"):
        fleet.picture._put(node_record(name))
    fleet.picture._put(Record(SERVERS + "s", ServerValue(spec={}, on="needed").text(), 1, 1, 0))
    fleet.picture.altered()
    for name in ("gone", "needed"):
        fleet.picture.forget(NODES + name, 2)
    fleet.picture.altered()
    assert {name: state for name, (state, _) in fleet.nodes().items() if name != "here"} == {
        "gone": "lost",
        "needed": "lost",
    }
    later = time.monotonic() + LOST_FOR + 1
    monkeypatch.setattr("app.fleet.fleet.time.monotonic", lambda: later)
    assert fleet.nodes().keys() == {"here", "needed"}


# The lease


class Refusing:
    """An engine that gives leases and lets none be renewed; it counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def grant(self, seconds: int) -> tuple[int, int]:
        self.asked += 1
        return self.asked, seconds

    async def revoke(self, lease: int) -> None:
        pass

    async def check_revision(self) -> None:
        pass


async def test_a_lease_that_is_refused_again_and_again_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def taken(lease: int) -> None:
        raise LeaseRefused("there is a node 'here' already")

    engine: Any = Refusing()
    lease = Lease(engine, LeaseTimes(renew=0.01), Fence(lambda: None), taken)
    keeping = asyncio.create_task(lease.keep())
    await until(lambda: engine.asked > 5, "it is tried again")
    keeping.cancel()
    assert caplog.text.count("there is a node 'here' already") == 1


# The fence


def test_a_fence_falls_once_each_time_and_on_a_thread_of_its_own() -> None:
    fell: list[str] = []
    fence = Fence(lambda: fell.append(threading.current_thread().name))
    fence.start()
    try:
        assert not fence.open
        fence.extend(now() + 0.1)
        assert fence.open
        time.sleep(0.3)
        assert not fence.open
        assert fell == ["fence"]
        fence.extend(now() + 60)
        time.sleep(0.1)
        assert fence.open
        fence.close()
        assert not fence.open
        assert len(fell) == 2
        fence.close()
        assert len(fell) == 2
    finally:
        fence.stop()


def test_a_fence_is_closed_before_it_is_noticed() -> None:
    fence = Fence(lambda: None)  # no thread looks
    fence.extend(now() + 0.02)
    assert fence.open
    time.sleep(0.03)
    assert not fence.open


# Frames


def frame(payload: bytes, opcode: int = 2, *, masked: bool = False) -> bytes:
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([0x80 | opcode, mask | size])
    elif size < 65536:
        head = bytes([0x80 | opcode, mask | 126]) + size.to_bytes(2)
    else:
        head = bytes([0x80 | opcode, mask | 127]) + size.to_bytes(8)
    return head + (b"\0\0\0\0" if masked else b"") + payload


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 300, 65535, 70_000]), st.booleans()), max_size=5),
    st.lists(st.integers(1, 5000), min_size=1, max_size=20),
)
def test_the_ends_of_frames_are_found_however_they_are_cut(frames: list[tuple[int, bool]], cuts: list[int]) -> None:
    stream = b"".join(frame(b"x" * size, masked=masked) for size, masked in frames)
    ends = set()
    at = 0
    for size, masked in frames:
        at += len(frame(b"x" * size, masked=masked))
        ends.add(at)
    boundaries, at, turn = Boundaries(), 0, 0
    assert boundaries.between
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        boundaries.see(stream[at : at + step])
        at = min(at + step, len(stream))
        turn += 1
        assert boundaries.between == (at in ends)
    assert not boundaries.closed
    boundaries.see(frame(b"\x03\xe8", 8))
    assert boundaries.closed
    assert boundaries.between


# The picture


def picture() -> Picture:
    return Picture(None, lambda: None)  # type: ignore[arg-type]  # no engine


def record(key: str, value: Any, changed: int, created: int = 1) -> Record:
    return Record(key, value if isinstance(value, str) else json.dumps(value), created, changed, 0)


def test_the_picture_takes_the_latest_of_each_key() -> None:
    made = picture()
    made._put(record(SERVERS + "a", {"spec": {"x": 1}}, 5))
    made._put(record(SERVERS + "a", {"spec": {"x": 0}}, 4))  # late
    assert made.servers["a"].value.spec == {"x": 1}
    made._drop(SERVERS + "a", 6)
    made._put(record(SERVERS + "a", {"spec": {"x": 1}}, 5))
    assert made.servers == {}
    made._put(record(SERVERS + "a", {"spec": {"x": 2}}, 7, 7))
    assert made.servers["a"].created == 7
    made.take(SERVERS + "a", ServerValue(spec={"x": 3}), 9, 0)
    made._put(record(SERVERS + "a", {"spec": {"x": 2}}, 8, 7))
    assert made.servers["a"].value.spec == {"x": 3}
    assert made.servers["a"].created == 7


@pytest.mark.parametrize("value", ["", "{", "5", "null", '{"spec": 1}', '{"wish": "x", "spec": {}}', "[]"])
def test_what_is_not_to_be_understood_is_left_out(value: str) -> None:
    made = picture()
    made._put(record(SERVERS + "a", value, 5))
    made._put(record(NODES + "a", {"no": "url"}, 5))
    made._put(record(CLAIMS + "a", {"node": 5}, 5))
    made._put(record("/echodeck/v1/later/a", {}, 5))
    assert (made.servers, made.nodes, made.claims) == ({}, {}, {})


def test_what_a_later_version_wrote_is_read_as_far_as_it_is_known() -> None:
    made = picture()
    made._put(
        record(
            SERVERS + "a", {"spec": {"variant": "asyncio", "port": 8001, "later": 1}, "wish": "running", "more": 2}, 5
        )
    )
    spec = spec_of("a", made.servers["a"].value)
    assert (spec.variant, spec.port, spec.name, spec.on) == ("asyncio", 8001, "a", None)


# Proofs


def test_a_proof_is_of_one_token_one_question_and_one_life() -> None:
    ours, others = Proofs("secret"), Proofs("Secret")
    assert ours.asking("n", "l") == Proofs("secret").asking("n", "l")
    assert (
        len(
            {
                ours.asking("n", "l"),
                others.asking("n", "l"),
                ours.asking("n", "m"),
                ours.answering("n", "l", "x"),
                ours.answering("n", "l", "y"),
            }
        )
        == 5
    )
    assert "secret" not in ours.asking("n", "l")


# The checker of the faults' tests


@pytest.mark.parametrize(
    ("seen", "had", "right"),
    [
        ([1, 1, 2, 2], [1, 2], True),
        ([1, 3], [1, 2, 3], True),  # at 2 it was too short a time to be seen
        ([1, 2, 1], [1, 2, 1], True),
        ([1, 2, 1], [1, 2], False),  # 1 has not stopped when 2 began
        ([2, 1], [1, 2], False),
        ([1, 3], [1, 2], False),
    ],
)
def test_the_checker_tells_two_at_once_from_moves(seen: list[int], had: list[int], right: bool) -> None:
    record = Seen([(float(at), "a", node) for at, node in enumerate(seen)])
    assert (record.unlike({"a": had}) == {}) is right
