"""How an experiment ends before its end: cancelled, killed, frozen, with its app, on a full disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import Program
from tests.helpers import first
from tests.labs import SHORT, children, eventually, finished, is_there, measured, refusal


def test_it_can_be_cancelled_and_forgotten(lab: httpx.Client, lab_app: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 100}).json()
    path = f"/experiments/{begun['id']}"
    while lab.get(path).json()["progress"]["trial"] < 1:
        time.sleep(0.05)
    assert lab.delete(path).status_code == 204
    now = lab.get(path).json()
    assert (now["state"], now["reason"]) == ("cancelled", "it was cancelled")
    assert now["progress"]["seconds_left"] == 0
    assert len(lab.get(f"/results/{begun['id']}").json()["trials"]) == now["progress"]["trial"] >= 1
    assert children(lab_app.process.pid) == set()
    assert lab.delete(path).status_code == 204
    assert refusal(lab.get(path)) == (404, "unknown", None)
    assert refusal(lab.get(f"/results/{begun['id']}")) == (404, "unknown", None)
    assert refusal(lab.delete(path)) == (404, "unknown", None)


def test_two_who_cancel_at_once_leave_nothing_running(lab: httpx.Client, lab_app: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 100}).json()
    path = f"/lab/experiments/{begun['id']}"
    eventually(lambda: len(children(lab_app.process.pid)) >= 2, "it is measured")
    answers: list[int] = []
    both = [
        threading.Thread(target=lambda: answers.append(httpx.delete(lab_app.url + path, timeout=20).status_code))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert answers == [204, 204]
    assert children(lab_app.process.pid) == set()
    found = lab.get(f"/experiments/{begun['id']}")  # the second call forgets it, if the first is through by then
    assert found.status_code == 404 or found.json()["state"] == "cancelled"


def test_a_generator_or_a_server_host_that_is_killed_fails_it(lab: httpx.Client, lab_app: Program) -> None:
    for which in (b"generator", b"host_process"):
        begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "seconds": 20}).json()

        def victim(which: bytes = which) -> list[int]:
            return [pid for pid in children(lab_app.process.pid) if which in Path(f"/proc/{pid}/cmdline").read_bytes()]

        eventually(
            lambda: any(
                b"generator" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(lab_app.process.pid)
            ),
            "it is measured",
        )
        os.kill(victim()[0], signal.SIGKILL)
        now = finished(lab, begun["id"])
        assert now["state"] == "failed"
        assert now["reason"]
        assert children(lab_app.process.pid) == set()


@pytest.mark.parametrize("sig", first(1, [signal.SIGKILL, signal.SIGTERM]))
def test_an_app_that_ends_leaves_no_generator_and_a_result_that_is_cut(
    program: Callable[..., Program], tmp_path: Path, sig: signal.Signals
) -> None:
    state = ("--state", str(tmp_path / "state"))
    running = program(*state)
    with httpx.Client(base_url=f"{running.url}/lab", timeout=30) as http:
        begun = http.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 100}).json()
        while http.get(f"/experiments/{begun['id']}").json()["progress"]["trial"] < 2:
            time.sleep(0.05)
        time.sleep(2.5)  # what was measured is kept every two seconds
    started = children(running.process.pid)
    assert len(started) >= 1
    running.signal(sig)
    running.wait()
    eventually(lambda: not any(map(is_there, started)), "nothing is left")
    if sig is signal.SIGTERM:  # an orderly end writes it down itself
        with closing(sqlite3.connect(tmp_path / "state")) as file:
            ((packed,),) = file.execute("SELECT packed FROM results").fetchall()
        assert json.loads(zlib.decompress(packed))["state"] == "cut"
    again = program(*state)
    with httpx.Client(base_url=f"{again.url}/lab", timeout=30) as http:
        now = http.get(f"/experiments/{begun['id']}").json()
        assert (now["state"], now["reason"]) == ("cut", "the app ended in the midst of it")
        assert len(http.get(f"/results/{begun['id']}").json()["trials"]) >= 1
        assert http.post("/experiments", json={**SHORT, "variants": ["asyncio"]}).status_code == 202


def test_results_are_there_after_a_restart(program: Callable[..., Program], tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    running = program(*state)
    with httpx.Client(base_url=f"{running.url}/lab", timeout=30) as http:
        before = measured(http, variants=["asyncio"])
    running.signal(signal.SIGTERM)
    running.wait()
    again = program(*state)
    after = httpx.get(f"{again.url}/lab/results/{before['id']}").json()
    assert after == before
    next_one = httpx.post(f"{again.url}/lab/experiments", json={**SHORT, "variants": ["asyncio"]}).json()
    assert int(next_one["id"]) == int(before["id"]) + 1


def test_on_a_full_disk_it_is_measured_and_kept_when_it_can_be(program: Callable[..., Program], tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    running = program(*state)
    with httpx.Client(base_url=f"{running.url}/lab", timeout=30) as http:
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            assert refusal(http.post("/experiments", json={**SHORT, "variants": ["asyncio"]}))[:2] == (507, "not-kept")
            (one,) = http.get("/experiments").json()["items"]
            assert finished(http, one["id"])["state"] == "done"
        finally:
            resource.prlimit(
                running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
        result = http.get(f"/results/{one['id']}").json()
        eventually(lambda: httpx.get(f"{running.url}/readyz").status_code == 200, "it can be written")
    running.signal(signal.SIGTERM)
    running.wait()
    again = program(*state)
    assert httpx.get(f"{again.url}/lab/results/{one['id']}").json() == result


def test_a_frozen_app_does_not_lose_the_experiment(lab: httpx.Client, lab_app: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 4}).json()
    while not children(lab_app.process.pid):
        time.sleep(0.02)
    lab_app.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    lab_app.process.send_signal(signal.SIGCONT)
    assert finished(lab, begun["id"])["state"] == "done"
