"""The lab as a user has it: experiments begun, followed, cancelled, kept, refused, by REST and on the command line."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.commanding import environment
from tests.conftest import ECHODECK, Program

SHORT: dict[str, Any] = {"seconds": 0.2, "warm_up": 0.05, "rounds": 1, "clients": 3, "size": 64}


@pytest.fixture(scope="module")
def deck() -> Iterator[Program]:
    made = Program("--state", ":memory:")
    yield made
    made.end()


@pytest.fixture
def lab(deck: Program) -> Iterator[httpx.Client]:
    """Nothing is measured when the test begins."""
    with httpx.Client(base_url=f"{deck.url}/lab", timeout=30) as http:
        yield http
        for one in http.get("/experiments").json()["items"]:
            http.delete(f"/experiments/{one['id']}")


def finished(lab: httpx.Client, id: str, patience: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while True:
        now = dict(lab.get(f"/experiments/{id}").json())
        if now["state"] not in ("waiting", "running"):
            return now
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


def measured(lab: httpx.Client, **fields: Any) -> dict[str, Any]:
    begun = lab.post("/experiments", json={**SHORT, **fields})
    assert begun.status_code == 202, begun.text
    state = finished(lab, begun.json()["id"])
    assert state["state"] == "done", state
    return dict(lab.get(f"/results/{state['id']}").json())


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    problem = answer.json()
    return answer.status_code, problem["type"].rpartition("/")[2], problem.get("field")


def children(pid: int) -> set[int]:
    """All processes that descend from this one."""
    found = set()
    for one in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, one.read_text().split()):
                found |= {child} | children(child)
    return found


def eventually(holds: Callable[[], Any], what: str, patience: float = 10) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


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


def test_settings_of_a_variants_own(lab: httpx.Client) -> None:
    slow = {"variant": "asyncio", "settings": {"nodelay": False}, "label": "Nagle"}
    trials = measured(
        lab, variants=["asyncio", slow], size=64_000, settings={"recv_size": 1024}, clients=1, seconds=0.5
    )["trials"]
    fast, held = trials
    assert held["variant"] == "Nagle"
    assert held["p50_us"] > 20_000 > fast["p50_us"]  # delayed acknowledgements: 40 ms


def test_polling_takes_a_processor_and_waiting_does_not(lab: httpx.Client) -> None:
    trials = measured(lab, variants=["nonblocking", "selectors"], think=0.05, seconds=0.5)["trials"]
    polling, waiting = trials
    assert polling["server_share"] > 0.6
    assert waiting["server_share"] < 0.3


def test_the_wait_grows_with_the_place_in_the_queue(lab: httpx.Client) -> None:
    result = measured(lab, variants=["blocking", "asyncio"], clients=4, churn=True, think=0.05, seconds=0.5)
    blocking, all_at_once = result["trials"]
    assert blocking["p50_us"] > 100_000  # three others stay for 50 ms each
    assert 50_000 <= all_at_once["p50_us"] < 100_000


def test_memory_is_that_of_a_process_of_its_own(lab: httpx.Client) -> None:
    trials = measured(lab, variants=["selectors", "threads"], silent=300, think=0.1, clients=1)["trials"]
    selectors, threads = (one["memory_per_connection"] for one in trials)
    assert 0 <= selectors < 4096 < threads < 100_000


def test_an_offered_rate_that_is_too_high_is_not_sustained(lab: httpx.Client) -> None:
    trials = measured(lab, variants=["asyncio"], loop="open", rate=[100, 900_000], clients=10, seconds=0.5)["trials"]
    low, high = sorted(trials, key=lambda one: one["factor"])
    assert low["sustained"]
    assert low["generator_limited"] is None or "late" in low["generator_limited"]
    assert not high["sustained"]
    assert high["unsent"] > 0


def test_here_is_this_apps_own_loop(lab: httpx.Client, deck: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "in": "here", "seconds": 1}).json()
    names: list[str] = []
    while not names:
        names = [one["name"] for one in httpx.get(f"{deck.url}/servers").json()["items"]]
        time.sleep(0.02)
    assert names[0].startswith("lab-")
    finished(lab, begun["id"])
    assert httpx.get(f"{deck.url}/servers").json()["items"] == []
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
    assert {one["pid"] for one in result["noise"]["neighbours"]} >= {burning[0].pid}
    assert "python" in result["noise"]["notes"][0]


# Its end


def test_it_can_be_cancelled_and_forgotten(lab: httpx.Client, deck: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 100}).json()
    path = f"/experiments/{begun['id']}"
    while lab.get(path).json()["progress"]["trial"] < 1:
        time.sleep(0.05)
    assert lab.delete(path).status_code == 204
    now = lab.get(path).json()
    assert (now["state"], now["reason"]) == ("cancelled", "it was cancelled")
    assert now["progress"]["seconds_left"] == 0
    assert len(lab.get(f"/results/{begun['id']}").json()["trials"]) == now["progress"]["trial"] >= 1
    assert children(deck.process.pid) == set()
    assert lab.delete(path).status_code == 204
    assert refusal(lab.get(path)) == (404, "unknown", None)
    assert refusal(lab.get(f"/results/{begun['id']}")) == (404, "unknown", None)
    assert refusal(lab.delete(path)) == (404, "unknown", None)


def test_two_who_cancel_at_once_leave_nothing_running(lab: httpx.Client, deck: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 100}).json()
    path = f"/lab/experiments/{begun['id']}"
    eventually(lambda: len(children(deck.process.pid)) >= 2, "it is measured")
    answers: list[int] = []
    both = [
        threading.Thread(target=lambda: answers.append(httpx.delete(deck.url + path, timeout=20).status_code))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert answers == [204, 204]
    assert children(deck.process.pid) == set()
    assert lab.get(f"/experiments/{begun['id']}").json()["state"] == "cancelled"


def test_a_generator_or_an_app_that_is_killed_fails_it(lab: httpx.Client, deck: Program) -> None:
    for which in (b"generator", b"serve"):
        begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "seconds": 20}).json()

        def victim(which: bytes = which) -> list[int]:
            return [pid for pid in children(deck.process.pid) if which in Path(f"/proc/{pid}/cmdline").read_bytes()]

        eventually(
            lambda: any(
                b"generator" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(deck.process.pid)
            ),
            "it is measured",
        )
        os.kill(victim()[0], signal.SIGKILL)
        now = finished(lab, begun["id"])
        assert now["state"] == "failed"
        assert now["reason"]
        assert children(deck.process.pid) == set()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
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


def test_a_frozen_app_does_not_lose_the_experiment(lab: httpx.Client, deck: Program) -> None:
    begun = lab.post("/experiments", json={**SHORT, "variants": ["asyncio"], "rounds": 4}).json()
    while not children(deck.process.pid):
        time.sleep(0.02)
    deck.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    deck.process.send_signal(signal.SIGCONT)
    assert finished(lab, begun["id"])["state"] == "done"


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


def test_the_feed_says_how_far_it_is(lab: httpx.Client, deck: Program) -> None:
    seen = []
    with httpx.stream("GET", f"{deck.url}/events?topics=lab", timeout=30) as answer:
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


# The command line


def cli(deck: Program, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ECHODECK, "lab", *words],
        env=environment(deck.url),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        check=False,
    )


FILE = """
variants = ["asyncio", "threads"]
seconds = 0.2
warm_up = 0.05
rounds = 1
clients = [1, 3]

[[expect]]
figure = "msgs_per_s"
variant = "asyncio"
above = %s
"""


def test_a_file_is_measured_and_what_it_expects_decides(lab: httpx.Client, deck: Program, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(FILE % 10)
    (tmp_path / "two.toml").write_text(FILE % 1e9)
    done = cli(deck, "run", "one.toml", "--output", "one.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "asyncio" in done.stdout
    assert "✓ msgs_per_s of asyncio at 1 above 10" in done.stdout
    missed = cli(deck, "run", "two.toml", "--json", folder=tmp_path)
    assert missed.returncode == 1
    assert "2 of 2 expectations do not hold" in missed.stderr
    assert json.loads(missed.stdout)["state"] == "done"
    id = json.loads(missed.stdout)["id"]
    assert cli(deck, "show", id).stdout.count("asyncio") >= 2
    beside = cli(deck, "compare", "one.json", id, folder=tmp_path)
    assert beside.returncode == 0
    assert "B/A" in beside.stdout
    (tmp_path / "cut.json").write_text((tmp_path / "one.json").read_text()[:200])
    cut = cli(deck, "show", "cut.json", folder=tmp_path)
    assert cut.returncode == 2
    assert "cut" in cut.stderr
    listed = cli(deck, "list")
    assert "polling-burns" in listed.stdout
    assert id in listed.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variants = ['asyncio']\nspeed = 3\n", "bad.toml:2: speed: There is no such field."),
        ("variants = ['asyncio']\n\nclients = 0\n", "bad.toml:3: clients: Input should be greater than or equal to 1"),
        ("variants = [\n", "bad.toml: "),
        ("variants = ['nope']\n", "no variant 'nope'"),
    ],
)
def test_a_file_that_is_wrong_says_where(deck: Program, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    done = cli(deck, "run", "bad.toml", folder=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_cancels(lab: httpx.Client, deck: Program, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text("variants = ['asyncio']\nrounds = 50\nclients = 2\nseconds = 0.2\n")
    with subprocess.Popen(
        [ECHODECK, "lab", "run", str(tmp_path / "long.toml")],
        env=environment(deck.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (items := lab.get("/experiments").json()["items"]) or items[0]["progress"]["trial"] < 1:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "is cancelled" in errors
    assert lab.get(f"/experiments/{items[0]['id']}").json()["state"] == "cancelled"
