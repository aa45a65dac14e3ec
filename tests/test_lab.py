"""The lab as a user has it: experiments begun, followed, refused, and their results, by REST."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest

from tests.conftest import ECHODECK, Program
from tests.labs import SHORT, finished, measured, refusal

# Measured


def test_an_experiment_comes_to_its_result(lab: httpx.Client) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio", "threads"], "clients": [1, 3], "rounds": 2})
    shape = begun.json()
    assert begun.status_code == 202
    assert shape["state"] in ("waiting", "running")
    assert shape["progress"]["of"] == 8
    assert shape["progress"]["seconds_left"] > 0
    done = finished(lab, shape["id"])
    assert (done["state"], done["progress"]) == ("done", {"trial": 8, "of": 8, "seconds_left": 0.0})
    result = lab.get(f"/results/{shape['id']}").json()
    assert result["schema"] == 1
    assert {"machine", "experiment", "started", "noise", "trials", "verdicts"} <= result.keys()
    assert [(one["round"], one["factor"], one["variant"]) for one in result["trials"]][:2] == [
        (0, 1, "asyncio"), (0, 1, "threads"),
    ]  # fmt: skip
    for trial in result["trials"]:
        assert trial["msgs_per_s"] > 100
        assert 0 < trial["p50_us"] <= trial["p90_us"] <= trial["max_us"]
        assert trial["errors"] == {}
        assert 0 < trial["server_cpu"] < 2
        assert trial["histogram"]["count"] == trial["messages"]
        assert trial["by_client"]["least"] > 0
    assert {one["says"] for one in result["verdicts"]} == {"can't tell"}  # of two rounds nothing is said
    listed = lab.get("/experiments").json()["items"]
    assert [one["id"] for one in listed] == [shape["id"]]


@pytest.mark.parametrize(
    "variant", ["blocking", "nonblocking", "selectors", "asyncio-basic", "asyncio", "asyncio-streams", "asyncio-tuned"]
)
def test_each_variant_can_be_measured(lab: httpx.Client, variant: str) -> None:
    (trial,) = measured(lab, variants=[variant])["trials"]
    assert trial["messages"] > 20
    assert trial["errors"] == {}


def test_memory_is_that_of_a_process_of_its_own(lab: httpx.Client) -> None:
    trials = measured(lab, variants=["selectors", "threads"], silent=300, think=0.1, clients=1)["trials"]
    selectors, threads = (one["memory_per_connection"] for one in trials)
    assert 0 <= selectors < 4096 < threads < 100_000


def test_an_offered_rate_that_is_too_high_is_not_sustained(lab: httpx.Client) -> None:
    trials = measured(lab, variants=["asyncio"], loop="open", rate=[100, 900_000], clients=10, seconds=2)["trials"]
    low, high = sorted(trials, key=lambda one: one["factor"])
    assert low["sustained"]
    assert low["generator_limited"] is None or "late" in low["generator_limited"]
    assert not high["sustained"]
    assert high["unsent"] > 0


def test_here_is_this_apps_own_loop(lab: httpx.Client, lab_app: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "in": "here", "seconds": 1}).json()
    names: list[str] = []
    while not names:
        names = [one["name"] for one in httpx.get(f"{lab_app.url}/servers").json()["items"]]
        time.sleep(0.02)
    assert names[0].startswith("lab-")
    finished(lab, begun["id"])
    assert httpx.get(f"{lab_app.url}/servers").json()["items"] == []
    (trial,) = lab.get(f"/results/{begun['id']}").json()["trials"]
    assert trial["lag_p99_ms"] >= 0


def test_a_foreign_server_is_one_more_variant(lab: httpx.Client) -> None:
    def echo(client: socket.socket) -> None:
        with client:
            while data := client.recv(65536):
                client.sendall(data)

    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        trials = measured(lab, variants=["asyncio"], compare_with=address)["trials"]
        listener.shutdown(socket.SHUT_RDWR)
    assert [one["variant"] for one in trials] == ["asyncio", address]
    assert trials[1]["messages"] > 20
    assert trials[1]["server_cpu"] is None


BURN = "while True: pass"


def test_a_neighbour_that_burns_is_noticed_and_named(lab: httpx.Client) -> None:
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(os.cpu_count() or 1)]
    try:
        result = measured(lab, variants=["asyncio"], seconds=0.5)
    finally:
        for one in burning:
            one.kill()
            one.wait()
    (trial,) = result["trials"]
    assert trial["spoiled"]
    assert trial["attempts"] == 3
    neighbours = result["noise"]["neighbours"]
    named = [one["pid"] for one in neighbours]
    assert {one.pid for one in burning} & {*named} or len(named) == 5, "one is named, unless five others burn more"
    assert neighbours[0]["name"] in result["noise"]["notes"][0]


# Bad input


@pytest.mark.parametrize(
    ("body", "status", "name", "field"),
    [
        ({"variants": ["nope"]}, 422, "invalid", "variants.0"),
        ({"variants": ["asyncio"], "clients": 0}, 422, "invalid", "clients"),
        ({"variants": ["asyncio"], "clients": 10**9}, 422, "invalid", "clients"),
        ({"variants": ["asyncio"], "seconds": 604_800}, 422, "invalid", "seconds"),
        ({"variants": ["asyncio"], "rounds": 100, "seconds": 60}, 422, "invalid", "seconds"),
        ({"variants": ["asyncio"], "size": [1, 2], "clients": [1, 2]}, 422, "invalid", "size"),
        ({"variants": ["asyncio"], "speed": 3}, 422, "invalid", "speed"),
        ({}, 422, "invalid", "variants"),
        ([], 422, "invalid", None),
        ("no-such-built-in", 422, "invalid", "variants"),
        ({"variants": ["asyncio"], "compare_with": "192.0.2.1:7"}, 403, "target-not-allowed", "compare_with"),
        ({"variants": ["asyncio"], "compare_with": "127.0.0.1.example:7"}, 403, "target-not-allowed", "compare_with"),
    ],
)
def test_what_is_refused(lab: httpx.Client, body: Any, status: int, name: str, field: str | None) -> None:
    assert refusal(lab.post("/experiments", json=body)) == (status, name, field)
    assert lab.get("/experiments").json()["items"] == []


def test_a_second_experiment_is_refused(lab: httpx.Client) -> None:
    first = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 20}).json()
    second = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"]})
    assert refusal(second)[:2] == (409, "lab-busy")
    assert second.json()["experiment"] == f"/lab/experiments/{first['id']}"


def test_what_the_server_refuses_fails_the_experiment(lab: httpx.Client) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": [], "compare_with": "127.0.0.1:1"}).json()
    now = finished(lab, begun["id"])
    assert now["state"] == "failed"
    assert "refused" in now["reason"].lower()


def test_too_few_descriptors_are_said_before(program: Callable[..., Program]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = ("sh", "-c", f'ulimit -n 1000; exec "{ECHODECK}" "$@"', "sh")
    running = program(command=command)
    answer = httpx.post(f"{running.url}/lab/experiments", json={"variants": ["asyncio"], "clients": 5000})
    assert refusal(answer) == (422, "invalid", "clients")
    assert "872 clients" in answer.json()["detail"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_a_viewer_reads_only(program: Callable[..., Program]) -> None:
    running = program(ECHODECK_TOKEN="owner", ECHODECK_VIEWER_TOKEN="viewer")
    with httpx.Client(base_url=f"{running.url}/lab", headers={"authorization": "Bearer viewer"}) as http:
        assert http.get("/experiments").status_code == 200
        assert refusal(http.post("/experiments", json={**SHORT, "variants": ["asyncio"]}))[:2] == (403, "read-only")
    assert httpx.get(f"{running.url}/lab/experiments").status_code == 401


# Formats


def test_the_formats_of_a_result(lab: httpx.Client) -> None:
    id = measured(lab, variants=["asyncio", "threads"], question="<script>alert(1)</script>")["id"]
    csv = lab.get(f"/results/{id}?format=csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.count("\n") == 3
    svg = lab.get(f"/results/{id}?format=svg&plot=p99_us")
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert svg.text.startswith("<svg")
    page = lab.get(f"/results/{id}?format=html").text
    assert "<script" not in page
    assert "&lt;script" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # it needs nothing else
    assert page.count("<svg") >= 5
    assert refusal(lab.get(f"/results/{id}?format=pdf")) == (422, "invalid", "format")
    assert refusal(lab.get(f"/results/{id}?format=svg&plot=beauty")) == (422, "invalid", "plot")


# The feed


def test_the_feed_says_how_far_it_is(lab: httpx.Client, lab_app: Program) -> None:
    seen = []
    with httpx.stream("GET", f"{lab_app.url}/events?topics=lab", timeout=30) as answer:
        begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 3}).json()
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: ") and kind == "experiment":
                data = json.loads(line[6:])
                seen.append(data["progress"]["trial"])
                assert data["id"] == begun["id"]
                if data["state"] == "done":
                    break
    assert seen == sorted(seen)
    assert seen[-1] == 3
