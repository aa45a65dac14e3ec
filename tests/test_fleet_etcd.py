"""Troubles of etcd: on /nodes, in metrics, in the log once each, and what becomes of the servers; with a real etcd."""

from __future__ import annotations

import ast
import re
import shutil
import socket
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.errors import EngineSilent
from app.etcd import health as module
from app.etcd.gateway import EngineUnusable, KeysLost, MemberFailed, OtherCluster
from app.etcd.health import FAILING, Health, Observed, judge
from app.shapes.nodes import ETCD_STATES, ETCD_TROUBLES
from tests.commanding import SLOW, output, run
from tests.engines import Etcd, until
from tests.fleets import Fleet, Node, fleet, refusal

QUOTA = 1_000_000
AT = datetime(2026, 1, 2, tzinfo=UTC)


# The judgement


def status(id: str, leader: str = "1", term: str = "2", **more: Any) -> dict[str, Any]:
    return {"header": {"member_id": id}, "leader": leader, "raftTerm": term, "dbSize": "100", "version": "3.4", **more}


LISTED: list[dict[str, Any]] = [
    {"ID": "1", "name": "m1", "clientURLs": ["http://a"]},
    {"ID": "2", "name": "m2", "clientURLs": ["http://inside"]},
    {"ID": "3", "name": "m3", "clientURLs": ["http://c"]},
]


def judged(
    *statuses: dict[str, Any],
    failed: dict[str, MemberFailed | EngineUnusable] | None = None,
    ids: dict[str, str] | None = None,
    listed: list[dict[str, Any]] = LISTED,
    quota: int | None = 1000,
    reading: EngineSilent | None = None,
) -> Health:
    by_url = dict(zip(("http://a", "http://b", "http://c"), statuses, strict=False))
    return judge(Observed(by_url, failed or {}, ids or {}, listed, dict.fromkeys(by_url, quota), reading), "255", AT)


@pytest.mark.parametrize(
    ("health", "state", "troubles"),
    [
        (judged(status("1"), status("2"), status("3")), "healthy", []),
        (judged(status("1"), failed={"http://c": MemberFailed("no")}), "degraded", [("member-silent", "m3")]),
        (judged(status("1"), failed={"http://b": MemberFailed("")}, ids={"http://b": "2"}), "degraded", [("member-silent", "m2")]),
        (judged(status("1"), failed={"http://b": MemberFailed("")}), "degraded", [("member-silent", "http://b")]),
        (judged(failed={"http://a": MemberFailed("no")}), "failing", [("unavailable", None)]),
        (judged(failed={"http://a": OtherCluster("it is 9")}), "failing", [("other-cluster", "m1")]),
        (judged(status("1"), failed={"http://b": OtherCluster("it is 9")}), "degraded", [("other-cluster", "http://b")]),
        (judged(status("1", leader="0")), "failing", [("no-leader", None)]),
        (judged(status("1", leader="0", term="1"), status("2", leader="2", term="3")), "healthy", []),
        (judged(status("1", errors=["memberID:2 alarm:NOSPACE "])), "failing", [("nospace", "m2")]),
        (judged(status("1", errors=["memberID:16  alarm:CORRUPT"])), "failing", [("corrupt", "10")]),
        (judged(status("1"), quota=125), "degraded", [("nearly-full", "m1")]),
        (judged(status("1"), quota=126), "healthy", []),
        (judged(status("1"), quota=None), "healthy", []),
        (judged(status("1"), reading=KeysLost("it was at 9")), "failing", [("keys-lost", None)]),
        (judged(status("1"), reading=EngineUnusable("no permission")), "failing", [("refused", None)]),
        (judged(status("1"), reading=EngineSilent("no")), "failing", [("unavailable", None)]),
        (judged(status("1"), listed=[]), "healthy", []),
    ],
)  # fmt: skip
def test_troubles_follow_from_the_answers(health: Health, state: str, troubles: list[tuple[str, str | None]]) -> None:
    assert [(one.kind, one.member) for one in health.troubles] == troubles
    assert (health.state, health.cluster) == (state, "ff")


def test_members_are_those_that_etcd_lists_and_the_named_ones_are_asked() -> None:
    health = judged(status("1"), status("2"))
    assert [(one.name, one.url, one.answers, one.leader) for one in health.members] == [
        ("m1", "http://a", True, True),
        ("m2", "http://b", True, False),
        ("m3", "http://c", None, False),
    ]
    assert (health.leader, health.database_bytes, health.quota_bytes) == ("m1", 100, 1000)


def test_each_kind_of_trouble_has_its_words() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    kinds = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "Trouble"
        and isinstance(call.args[0], ast.Constant)
    }
    assert kinds == ETCD_TROUBLES.keys() > FAILING
    healths = (judged(status("1")), judged(status("1"), quota=100), judged(status("1", leader="0")))
    assert {one.state for one in healths} == ETCD_STATES.keys()


# A real etcd


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One node, and one member that may have a megabyte."""
    with fleet(tmp_path_factory.mktemp("fleet"), 1, 1, etcd={"quota_backend_bytes": str(QUOTA)}) as made:
        yield made


def etcd_of(node: Node) -> dict[str, Any]:
    found: dict[str, Any] | None = node.nodes()[node.name]["etcd"]
    return found or {"troubles": [{"kind": "not yet"}]}


def troubles(node: Node) -> set[str]:
    return {one["kind"] for one in etcd_of(node)["troubles"]}


def logged(node: Node, words: str) -> list[str]:
    return [line for line in node.log.read_text().splitlines() if words in line]


def answers(server: dict[str, Any]) -> bool:
    try:
        with socket.create_connection((server["host"], server["port"]), timeout=20) as client:
            client.sendall(b"x")
            return client.recv(1) == b"x"
    except OSError:
        return False


def disarm(etcd: Etcd) -> None:
    for alarm in etcd.call("/v3/maintenance/alarm")["alarms"]:
        etcd.call("/v3/maintenance/alarm", action="DEACTIVATE", memberID=alarm["memberID"], alarm=alarm["alarm"])


def test_a_healthy_etcd(small: Fleet) -> None:
    until(lambda: troubles(small[1]) == set(), "it was asked")
    found = etcd_of(small[1])
    (member,) = found["members"]
    assert (found["state"], found["leader"], found["alarms"], found["quota_bytes"]) == ("healthy", "m0", [], QUOTA)
    assert 0 < found["database_bytes"] < QUOTA
    assert (member["name"], member["url"], member["answers"], member["leader"]) == (
        "m0",
        small.etcd.urls[0],
        True,
        True,
    )
    metrics = small[1].http.get("/metrics").text
    assert re.search(r"^echodeck_fleet_etcd_quota_bytes 1e\+06$", metrics, re.MULTILINE)
    assert 'echodeck_fleet_etcd_members{answers="yes"} 1.0' in metrics
    assert b"etcd" not in run(small[1].url, "nodes").stderr


def test_an_etcd_without_space(small: Fleet) -> None:
    value = b64encode(b"x" * 100_000).decode()
    while "header" in small.etcd.call("/v3/kv/put", key="eA==", value=value):
        pass
    refused = small[1].http.post("/servers", json={"variant": "asyncio", "port": 0})
    assert refusal(refused) == (503, "engine-silent")
    assert "space exceeded" in refused.json()["detail"]
    until(lambda: troubles(small[1]) == {"nospace"}, "it is on /nodes")
    found = etcd_of(small[1])
    assert (found["state"], found["alarms"]) == ("failing", ["NOSPACE"])
    assert small[1].nodes()["n1"]["state"] == "ready"  # a lease is renewed all the same
    assert 'echodeck_fleet_etcd_troubles{kind="nospace"} 1.0' in small[1].http.get("/metrics").text
    assert b"trouble with etcd: alarm NOSPACE of m0" in run(small[1].url, "nodes").stderr
    revision = small.etcd.call("/v3/kv/range", key="eA==")["header"]["revision"]
    small.etcd.call("/v3/kv/compaction", revision=revision, physical=True)
    small.etcd.call("/v3/kv/deleterange", key="eA==")
    small.etcd.call("/v3/maintenance/defragment")
    disarm(small.etcd)
    until(lambda: troubles(small[1]) == set(), "it has ended")
    assert len(logged(small[1], "alarm NOSPACE")) == 2  # its begin and its end
    small[1].make("again")
    small[1].http.delete("/servers/again").raise_for_status()


def test_a_corrupt_etcd_is_a_refusal_and_no_bug(small: Fleet) -> None:
    (member,) = small.etcd.call("/v3/cluster/member/list")["members"]
    small.etcd.call("/v3/maintenance/alarm", action="ACTIVATE", memberID=member["ID"], alarm="CORRUPT")
    try:
        assert refusal(small[1].http.post("/servers", json={"variant": "asyncio", "port": 0})) == (503, "engine-silent")
        until(lambda: troubles(small[1]) == {"corrupt"}, "it is on /nodes")
    finally:
        disarm(small.etcd)
    until(lambda: troubles(small[1]) == set(), "it has ended")


def test_an_etcd_that_has_lost_its_keys(small: Fleet, tmp_path: Path) -> None:
    node, etcd = small[1], small.etcd
    floating, pinned = node.make("floats"), node.make("pinned", on="n1")
    etcd.kill(0)
    etcd.data(0).rename(tmp_path / "kept")
    etcd.start(0)
    until(lambda: troubles(node) == {"keys-lost"}, "it is on /nodes")
    until(lambda: node.nodes()["n1"]["state"] == "fenced", "the node is fenced")
    until(lambda: not answers(floating), "the floating server has ended")
    assert answers(pinned)
    assert set(node.servers()) == {"floats", "pinned"}
    assert {line for line in output(node.url, "export").splitlines() if line.startswith("name")} == {
        'name = "floats"',
        'name = "pinned"',
    }
    assert refusal(node.http.post("/servers", json={"variant": "asyncio", "port": 0})) == (503, "engine-silent")
    assert len(logged(node, "trouble with etcd: etcd has lost its keys")) == 1
    etcd.kill(0)
    shutil.rmtree(etcd.data(0))
    (tmp_path / "kept").rename(etcd.data(0))
    etcd.start(0)
    until(lambda: troubles(node) == set() and answers(floating), "its data is back, and the floating server")
    assert node.servers()["floats"]["desired"] == "running"
    for name in ("floats", "pinned"):
        node.http.delete(f"/servers/{name}").raise_for_status()


@pytest.mark.slow
def test_another_cluster_at_the_same_address(tmp_path: Path) -> None:
    with fleet(tmp_path, 1) as made:
        node, etcd = made[1], made.etcd
        floating, pinned = node.make("floats"), node.make("pinned", on="n1")
        etcd.kill(0)
        shutil.rmtree(etcd.data(0))
        etcd.options["initial_cluster_token"] = "another"
        etcd.start(0)
        until(lambda: troubles(node) == {"other-cluster"}, "it is on /nodes")
        until(lambda: node.nodes()["n1"]["state"] == "fenced", "the node is fenced")
        until(lambda: not answers(floating), "the floating server has ended")
        assert answers(pinned)
        assert etcd_of(node)["state"] == "failing"
        assert len(logged(node, "does not belong to the fleet's etcd")) == 1
        assert node.end() == 0
        node.start()
        until(node.ready, "it begins with the new cluster", SLOW)
        assert node.servers() == {}
        node.make("new")


@pytest.mark.slow
def test_members_that_are_killed(tmp_path: Path) -> None:
    with fleet(tmp_path, 1, 3) as made:
        node, etcd = made[1], made.etcd
        until(lambda: etcd_of(node).get("state") == "healthy", "it was asked")
        first = etcd.leader()
        etcd.kill(first)
        until(lambda: troubles(node) == {"member-silent"} and etcd_of(node)["leader"], "one is silent")
        assert [one["name"] for one in etcd_of(node)["members"] if not one["answers"]] == [f"m{first}"]
        node.make("mine")  # two of three are enough
        second = etcd.leader()
        etcd.kill(second)
        until(lambda: "no-leader" in troubles(node), "there is no leader")
        assert etcd_of(node)["state"] == "failing"
        for number in (first, second):
            etcd.start(number)
        until(lambda: troubles(node) == set(), "all is well")
        for number in (first, second):
            assert len(logged(node, f"trouble with etcd: the member m{number} does not answer")) == 1
