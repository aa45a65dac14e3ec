"""Where the servers of a fleet are, and how they go from node to node; with a real etcd."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_now

from app.kernel.ports import free_ports
from tests.engines import until
from tests.fleets import Fleet, fleet, refusal


def test_floating_servers_go_where_there_are_fewest(three: Fleet) -> None:
    nodes = sorted(three[1].make(f"f{number}")["node"] for number in range(6))
    assert nodes == ["n1", "n1", "n2", "n2", "n3", "n3"]


def test_an_epoch_grows_with_each_claim(three: Fleet) -> None:
    first = three[1].make("moves")
    assert three[1].http.post(f"/nodes/{first['node']}/drain").status_code == 200
    try:
        until(lambda: three[1].servers()["moves"]["node"] not in (None, first["node"]), "it moves")
        assert three[1].servers()["moves"]["epoch"] > first["epoch"]
        entries = three[2].http.get("/journal", params={"server": "moves"}).json()["items"]
        assert any("by claim" in entry["what"] for entry in entries)
        assert {entry["node"] for entry in entries} >= {first["node"]}
    finally:
        three[1].http.post(f"/nodes/{first['node']}/resume").raise_for_status()


def test_a_server_is_pinned_and_let_float_again(three: Fleet) -> None:
    made = three[1].make("mine")
    other = next(name for name in ("n1", "n2", "n3") if name != made["node"])
    three[1].http.patch("/servers/mine", json={"on": other}).raise_for_status()
    until(
        lambda: three[2].servers()["mine"]["node"] == other and three[2].servers()["mine"]["state"] == "running",
        "moved",
    )
    assert three[3].http.patch("/servers/mine", json={"on": None}).json()["epoch"] is not None
    assert three[2].servers()["mine"]["node"] == other


def test_the_last_node_is_not_drained_of_what_floats(three: Fleet) -> None:
    three[1].make("mine")
    for name in ("n1", "n2"):
        three[3].http.post(f"/nodes/{name}/drain").raise_for_status()
    until(lambda: three[1].servers()["mine"]["node"] == "n3", "it is on the last")
    try:
        assert refusal(three[1].http.post("/nodes/n3/drain")) == (409, "last-node")
    finally:
        for name in ("n1", "n2"):
            three[3].http.post(f"/nodes/{name}/resume").raise_for_status()


def test_a_port_that_a_node_cannot_have_is_left_to_others(three: Fleet) -> None:
    made = three[1].make("mine", port=free_ports(1)[0])
    node, others = made["node"], [name for name in ("n1", "n2", "n3") if name != made["node"]]
    victim = min(others)  # it would take it
    with socket.create_server((f"127.0.0.{victim[1]}", made["port"])):
        three[1].http.post(f"/nodes/{node}/drain").raise_for_status()
        try:
            until(lambda: three[1].servers()["mine"]["node"] == max(others), "the other one takes it")
            until(lambda: three[1].servers()["mine"]["state"] == "running", "and runs it")
        finally:
            three[1].http.post(f"/nodes/{node}/resume").raise_for_status()


def test_a_server_that_moves_is_never_unknown(three: Fleet) -> None:
    three[1].make("mine")
    answers: list[tuple[str, int]] = []
    done = threading.Event()
    paths = ("/servers/mine", "/servers/mine/series?every=1&last=2", "/connections?server=mine", "/ui/servers/mine")

    def ask(node: int) -> None:
        with httpx.Client(base_url=three[node].url, timeout=60, trust_env=False) as http:
            while not done.is_set():
                for path in paths:
                    headers = {"accept": "text/html" if path.startswith("/ui/") else "*/*"}
                    answers.append((path, http.get(path, headers=headers).status_code))
                try:
                    with connect_now(f"ws{three[node].url[4:]}/servers/mine/terminal"):
                        pass
                except InvalidStatus as refused:
                    answers.append(("terminal", refused.response.status_code))

    asking = [threading.Thread(target=ask, args=(node,)) for node in (1, 2, 3)]
    for one in asking:
        one.start()
    try:
        for _ in range(8):
            holder = three[1].servers()["mine"]["node"]
            three[1].http.post(f"/nodes/{holder}/drain").raise_for_status()
            until(lambda holder=holder: three[1].servers()["mine"]["node"] not in (holder, None), "it moves")
            three[1].http.post(f"/nodes/{holder}/resume").raise_for_status()
    finally:
        done.set()
        for one in asking:
            one.join()
    assert len(answers) > 50
    assert {one for one in answers if one[1] not in (200, 503)} == set()  # 503: nobody has it this moment


def test_what_a_node_cannot_have_is_told_once_and_tried_again_when_it_changes(three: Fleet) -> None:
    from base64 import b64encode

    def write(variant: str) -> None:
        value = json.dumps({"spec": {"variant": variant, "port": free_ports(1)[0]}, "wish": "running"})
        key = b64encode(b"/echodeck/v1/servers/later").decode()
        put = {"key": key, "value": b64encode(value.encode()).decode()}
        httpx.post(three.etcd.urls[0] + "/v3/kv/put", json=put).raise_for_status()

    write("of-a-later-version")
    until(lambda: all("later cannot be had" in node.log.read_text() for node in three.nodes.values()), "told by all")
    for _ in range(3):  # all nodes look at etcd again
        three[1].make("another")
        until(lambda: all("another" in node.servers() for node in three.nodes.values()), "it is known to all")
        three[1].http.delete("/servers/another").raise_for_status()
    assert [node.log.read_text().count("later cannot be had") for node in three.nodes.values()] == [1, 1, 1]
    write("asyncio")
    until(lambda: three[1].servers().get("later", {}).get("state") == "running", "it is taken now")


def test_a_pinned_server_waits_for_its_node(tmp_path: Path) -> None:
    with fleet(tmp_path, 2) as made:
        made[1].make("mine", on="n2")
        tag = made[1].http.get("/servers/mine").headers["etag"]
        made[2].kill()
        until(lambda: made[1].nodes()["n2"]["state"] == "lost", "it is lost")
        found = made[1].http.get("/servers").json()
        assert found["missing"] == ["n2"]
        (one,) = found["items"]
        assert (one["node"], one["on"], one["state"], one["exit"]["reason"]) == (None, "n2", "backoff", "unavailable")
        assert "n2" in one["exit"]["message"]
        assert made[1].http.get("/servers/mine").headers["etag"] == tag, "it is the same server"
        for method, body in (("PATCH", {"on": "n1"}), ("DELETE", None)):
            other = made[1].http.request(method, "/servers/mine", json=body, headers={"If-Match": '"other"'})
            assert refusal(other) == (412, "precondition-failed")
        assert refusal(made[1].http.post("/servers/mine/restart")) == (502, "node-lost")
        assert made[1].http.post("/servers/mine/restart").json()["node"] == "n2"
        made[2].start()
        until(lambda: made.all_run(count=1), "it runs again")
        made[2].kill()
        until(lambda: made[1].nodes()["n2"]["state"] == "lost", "it is lost")
        moved = made[1].http.patch("/servers/mine", json={"on": "n1"}, headers={"If-Match": tag})
        assert (moved.status_code, moved.headers["etag"] == tag) == (200, False)
        until(lambda: made[1].servers()["mine"]["node"] == "n1", "it is taken")
        assert made[1].http.delete("/servers/mine").status_code == 204
