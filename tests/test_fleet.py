"""A fleet as its users see it: every call at every node, one deck; with a real etcd."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import echodeck
from tests.bridged import Page
from tests.commanding import output, run
from tests.engines import until
from tests.fleets import Fleet, fleet, refusal
from tests.looking import Looking


def test_every_call_works_at_every_node(three: Fleet) -> None:
    made = three[1].make("mine", on="n2")
    assert (made["node"], made["on"], made["epoch"], made["host"]) == ("n2", "n2", None, "127.0.0.2")
    for node in three.nodes.values():
        assert node.http.get("/servers/mine").json()["node"] == "n2"
        assert node.http.post("/servers/mine/stop").json()["state"] == "stopped"
        assert node.http.patch("/servers/mine", json={"backlog": 7}).json()["spec"]["backlog"] == 7
        assert node.http.post("/servers/mine/start").json()["state"] == "running"
        assert node.http.post("/servers/mine/restart").json()["state"] == "running"
        assert node.http.post("/servers/mine/stop", params={"drain": 0.2}).json()["state"] == "stopped"
        assert refusal(node.http.patch("/servers/mine", json={"backlog": -1})) == (422, "invalid")
        assert node.http.get("/ui/servers/mine", headers={"accept": "text/html"}).status_code == 200
    (tag,) = {node.http.get("/servers/mine").headers["etag"] for node in three.nodes.values()}
    changed = three[1].http.patch("/servers/mine", json={"backlog": 9}, headers={"If-Match": tag})
    for node in three.nodes.values():
        again = node.http.patch("/servers/mine", json={"backlog": 10}, headers={"If-Match": tag})
        assert refusal(again) == (412, "precondition-failed")
        assert refusal(node.http.delete("/servers/mine", headers={"If-Match": tag})) == (412, "precondition-failed")
    new = {"If-Match": changed.headers["etag"]}
    assert three[3].http.delete("/servers/mine", headers=new).status_code == 204
    assert [refusal(node.http.get("/servers/mine")) for node in three.nodes.values()] == [(404, "unknown")] * 3


def test_connections_exceptions_and_journal_of_all(three: Fleet) -> None:
    servers = [three[1].make(f"s{number}", on=f"n{number}") for number in (1, 2, 3)]
    clients = [socket.create_connection((one["host"], one["port"])) for one in servers]
    for client in clients:
        client.sendall(b"boom\n")
        assert client.recv(1) == b""
        client.close()
    for one in servers:
        clients.append(socket.create_connection((one["host"], one["port"])))
    until(lambda: len(three[1].http.get("/connections").json()["items"]) == 3, "all are told of")
    until(lambda: len(three[2].http.get("/exceptions").json()["items"]) == 3, "all are told of")
    for node in three.nodes.values():
        raised = node.http.get("/exceptions").json()
        assert {one["node"] for one in raised["items"]} == {"n1", "n2", "n3"}
        assert [one["at"] for one in raised["items"]] == sorted((one["at"] for one in raised["items"]), reverse=True)
        one = raised["items"][0]
        assert node.http.get(f"/exceptions/{one['id']}").json() == one
        open_now = node.http.get("/connections").json()["items"]
        assert {found["id"].split(".")[0] for found in open_now} == {"n1", "n2", "n3"}
        assert [
            found["server"] for found in node.http.get("/connections", params={"server": "s2"}).json()["items"]
        ] == ["s2"]
    there = next(found for found in three[1].http.get("/connections").json()["items"] if found["server"] == "s3")
    assert three[1].http.get(f"/connections/{there['id']}").json()["server"] == "s3"
    assert three[1].http.delete(f"/connections/{there['id']}").status_code == 204
    assert clients[-1].recv(1) == b""
    assert three[2].http.delete("/exceptions").status_code == 204
    assert three[3].http.get("/exceptions").json()["items"] == []
    for client in clients:
        client.close()


def test_pages_of_lists_go_on_over_all_nodes(three: Fleet) -> None:
    for number in range(7):
        three[1].make(f"s{number}")
    for path, limit in (("/servers", 2), ("/journal", 5), ("/servers", 3)):
        whole = three[1].http.get(path, params={"limit": 1000}).json()["items"]
        found: list[Any] = []
        after: dict[str, str] = {}
        while True:
            page = three[2].http.get(path, params={"limit": limit, **after}).json()
            assert len(page["items"]) <= limit
            found += page["items"]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        key = "name" if path == "/servers" else "id"
        assert [one[key] for one in found] == [one[key] for one in whole]
        assert len({one[key] for one in found}) == len(found)
    assert refusal(three[1].http.get("/servers", params={"after": "x"})) == (422, "invalid")
    assert refusal(three[1].http.get("/servers", params={"limit": 0})) == (422, "invalid")
    assert refusal(three[1].http.get("/servers", params={"limit": "many"})) == (422, "invalid")
    assert refusal(three[1].http.get("/connections", params={"server": "nobody"})) == (404, "unknown")


def test_nodes_tell_how_they_are(three: Fleet) -> None:
    three[1].make("mine", on="n3")
    nodes = three[2].nodes()
    assert sorted(nodes) == ["n1", "n2", "n3"]
    assert {one["state"] for one in nodes.values()} == {"ready"}
    assert all(0 < one["lease_left"] <= 3 for one in nodes.values())
    assert (nodes["n3"]["servers"], nodes["n3"]["url"], nodes["n3"]["serves_on"]) == (1, three[3].url, "127.0.0.3")
    assert three[1].http.get("/nodes/n3").json()["name"] == "n3"
    assert refusal(three[1].http.get("/nodes/n9")) == (404, "unknown")
    assert three[1].http.get("/loop", params={"node": "n3"}).status_code == 200


def test_the_loop_of_each_node_is_found_from_any(three: Fleet) -> None:
    three[1].make("burns", "nonblocking", on="n3")
    page = three[1].http.get("/ui/loop").text
    assert f'href="{three[3].url}/ui/loop"' in page
    assert f'href="{three[1].url}/ui/loop"' not in page  # it is this one
    until(
        lambda: "burns" in three[1].http.get("/loop/series?server=burns").json()["share"],
        "its node's loop says who burns",
    )
    assert "burns" not in three[1].http.get("/loop/series").json()["share"]
    assert refusal(three[1].http.get("/loop/series?server=nobody")) == (404, "unknown")


# Bad input


def test_bad_input(three: Fleet) -> None:
    http = three[1].http
    body = {"variant": "asyncio", "port": 0}
    unknown = http.post("/servers", json={**body, "on": "n9"})
    assert (refusal(unknown), unknown.json()["field"]) == ((422, "invalid"), "on")
    assert refusal(http.post("/servers", json={**body, "on": 5})) == (422, "invalid")
    assert refusal(http.post("/servers", json=[])) == (422, "invalid")
    assert refusal(http.post("/servers", content=b"{")) == (422, "invalid")
    three[1].make("mine", on="n2")
    assert refusal(http.post("/servers", json={**body, "name": "mine"})) == (409, "name-taken")
    assert refusal(three[3].http.post("/servers", json={**body, "name": "mine", "on": "n3"})) == (409, "name-taken")
    assert refusal(http.patch("/servers/mine", json={"on": "n9"})) == (422, "invalid")
    assert refusal(http.post("/nodes/n9/drain")) == (404, "unknown")
    port = three[1].servers()["mine"]["port"]
    taken = http.post("/servers", json={**body, "port": port, "host": "127.0.0.2", "on": "n3"})
    assert refusal(taken) == (409, "port-taken")


# Feed, terminals


async def test_the_feed_of_all_at_any(three: Fleet) -> None:
    seen: list[dict[str, Any]] = []
    async with connect(f"ws://127.0.0.1:{three.port}/events", max_size=None) as events:

        async def read() -> None:
            async for message in events:
                seen.append(json.loads(message))

        reading = asyncio.create_task(read())

        async def seen_within(seconds: float, event: str, **fields: Any) -> None:
            deadline = time.monotonic() + seconds
            while not any(one["event"] == event and fields.items() <= one["data"].items() for one in seen):
                assert not reading.done(), f"the feed ended: {reading.exception()}"
                last = [(one["event"], one["data"].get("name")) for one in seen[-20:]]
                assert time.monotonic() < deadline, f"no {event} of {fields} in {len(seen)}, the last are {last}"
                await asyncio.sleep(0.01)

        await seen_within(5, "snapshot")  # which tells of what was made before it, and then no event does
        made = await asyncio.to_thread(three[2].make, "mine", on="n3")
        await seen_within(5, "server", name="mine", state="running")
        with socket.create_connection((made["host"], made["port"])) as client:
            client.sendall(b"x")
            await seen_within(5, "connection", server="mine")
        await asyncio.to_thread(three[1].http.delete, "/servers/mine")
        await seen_within(5, "server-removed", name="mine")
        reading.cancel()
    snapshot = next(one for one in seen if one["event"] == "snapshot")
    assert {one["name"] for one in snapshot["data"]["nodes"]} == {"n1", "n2", "n3"}
    numbers = [int(one["id"].split("-")[1]) for one in seen if "id" in one]
    assert numbers == sorted(numbers)


async def test_a_terminal_through_another_node(three: Fleet) -> None:
    await asyncio.to_thread(three[1].make, "mine", on="n3")
    async with Page.v1(three.port, "mine") as page:
        for size in (1, 1000, 70_000, 300_000):
            await page.connection.send(b"x" * size)
            assert await page.receive(size, credit=True) == b"x" * size
        await asyncio.to_thread(three[2].http.post, "/servers/mine/stop")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await page.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4002


def test_a_terminal_to_nobody_is_refused(three: Fleet) -> None:
    for name in ("nobody", "%2e%2e"):
        answer = three[1].http.get(
            f"/servers/{name}/terminal",
            headers={
                "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            },
        )  # fmt: skip
        assert answer.status_code == 404


async def test_a_node_that_dies_ends_terminals_with_a_code(tmp_path: Path) -> None:
    with fleet(tmp_path) as made:
        server = await asyncio.to_thread(made[1].make, "mine")
        for number in (1, 2, 3):
            if server["node"] == "n1":  # another one than the terminal's
                await asyncio.to_thread(made[1].http.post, "/nodes/n1/drain")
                until(lambda: made[1].servers()["mine"]["node"] in ("n2", "n3"), "it moves")
                server = made[1].servers()["mine"]
            del number
        async with connect(f"ws://127.0.0.1:{made.port}/servers/mine/terminal") as terminal:
            await terminal.send(b"x")
            assert await terminal.recv() == b"x"
            made.named(server["node"]).kill()
            with pytest.raises(ConnectionClosed) as closed:
                await terminal.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4006
        lost = await asyncio.to_thread(made[1].http.post, "/servers/mine/restart")  # until its lease is over: told
        assert lost.status_code in (200, 502)
        until(lambda: made[1].servers().get("mine", {}).get("node") not in (None, server["node"]), "it is taken")
        async with connect(f"ws://127.0.0.1:{made.port}/servers/mine/terminal") as terminal:
            await terminal.send(b"y")
            assert await terminal.recv() == b"y"


def test_calls_are_seen_and_recorded_through_another_node(three: Fleet) -> None:
    made = three[1].http.post("/servers", json={"variant": "asyncio", "port": 0, "on": "n2"}).json()
    seen = Looking(echodeck.Client(three[1].url), made["name"])
    with socket.create_connection((made["host"], made["port"])) as client:
        client.sendall(b"hello\n")
        assert client.recv(10) == b"hello\n"
        seen.until(lambda: seen.of("send"), "it is told through the other node")
    assert seen.of("accept", errno=None)[0]["result"].startswith("n2.")
    seen.close()
    recorded = three[3].http.post(f"/servers/{made['name']}/recordings", json={"seconds": 0.3})
    head = recorded.json()
    assert recorded.headers["location"] == f"/recordings/{head['id']}"
    assert head["id"].startswith("n2.")
    for node in three.nodes.values():
        assert node.http.get(f"/recordings/{head['id']}").json()["count"] == head["count"]
        html = node.http.get(f"/recordings/{head['id']}?format=html")
        assert html.headers["content-disposition"].startswith("attachment")
        assert head["id"] in [one["id"] for one in node.http.get("/recordings").json()["items"]]
        assert f"/ui/recordings/{head['id']}" in node.http.get("/ui/glass").text
    assert three[1].http.delete(f"/recordings/{head['id']}").status_code == 204
    assert three[3].http.get(f"/recordings/{head['id']}").status_code == 404
    made = (
        three[2].http.post("/comparisons", json={"script": "half-close", "variants": ["blocking"]}, timeout=60).json()
    )
    assert three[3].http.get(f"/comparisons/{made['id']}").json()["recordings"] == made["recordings"]


def test_the_command_line_of_a_fleet(three: Fleet, tmp_path: Path) -> None:
    url = three[1].url
    assert "n3" in output(url, "start", "asyncio", "--name", "mine", "--on", "n3", "--json")
    assert "NODE" in output(url, "ls")
    assert "n2" in output(url, "nodes")
    assert "gives its servers away" in output(url, "drain", "n2")
    assert "takes servers again" in output(url, "resume", "n2")
    exported = output(url, "export")
    assert 'on = "n3"' in exported
    (tmp_path / "deck.toml").write_text(exported.replace('"n3"', '"n2"'))
    output(three[2].url, "apply", str(tmp_path / "deck.toml"))
    until(lambda: three[1].servers()["mine"]["node"] == "n2", "it has moved")
    assert run(url, "start", "asyncio", "--on", "n9").returncode == 2
    assert run(url, "drain", "n9").returncode != 0


def test_the_fleets_figures_are_measured(three: Fleet) -> None:
    three[1].make("mine", on="n2")
    three[1].http.get("/servers/mine")
    text = three[1].http.get("/metrics").text
    for name in (
        "lease_age_seconds",
        "renewals_total",
        "fences_total",
        "hops_total",
        "claims_total",
        "given_back_total",
    ):
        assert f"echodeck_fleet_{name} " in text
    assert 'echodeck_fleet_nodes{state="ready"} 3.0' in text
