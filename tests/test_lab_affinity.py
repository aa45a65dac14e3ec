"""On which cores the lab's server and generator run: what is chosen, set, refused, and said."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.experiments.compare import same_affinity
from app.experiments.experiment import Affinity, Experiment, Impossible
from app.experiments.result import Result, as_csv, parse
from app.experiments.statistics import noise
from app.lab.affinity import Cores, cores_for, cores_of, pin, usable_cores, with_affinity
from app.measuring.report import as_html
from app.web.words import words
from tests.commanding import environment
from tests.conftest import ECHODECK, Program
from tests.labs import SHORT, children, eventually, finished, measured, refusal
from tests.test_experiments import TWO, trial
from tests.test_experiments import finished as result_of

CORES = sorted(os.sched_getaffinity(0))
DEFAULT = "apart" if len(CORES) > 1 else "one"

# Decisions


@pytest.mark.parametrize(
    ("fields", "usable", "affinity"),
    [
        ({}, [0, 1], "apart"),
        ({}, [3], "one"),
        ({}, [], "free"),
        ({"in": "here"}, [0, 1], "free"),
        ({"affinity": "one"}, [0, 1], "one"),
        ({"affinity": "free"}, [3], "free"),
        ({"affinity": "free", "in": "here"}, [], "free"),
    ],
)
def test_the_default_is_apart_where_that_can_be(fields: dict[str, Any], usable: list[int], affinity: str) -> None:
    given = Experiment.model_validate({"variants": ["asyncio"], **fields})
    assert with_affinity(given, usable).affinity == affinity


@pytest.mark.parametrize(
    ("fields", "usable", "field", "reason"),
    [
        ({"affinity": "apart"}, [3], "affinity", "may use one core"),
        ({"affinity": "one"}, [], "affinity", "cannot be pinned"),
        ({"affinity": "one", "in": "here"}, [0, 1], "affinity", "in = 'here'"),
        (
            {"variants": ["asyncio", {"variant": "threads", "affinity": "apart"}]},
            [3],
            "variants.1.affinity",
            "one core",
        ),
    ],
)
def test_an_affinity_that_cannot_be_set_is_refused(
    fields: dict[str, Any], usable: list[int], field: str, reason: str
) -> None:
    with pytest.raises(Impossible, match=reason) as refused:
        with_affinity(Experiment.model_validate({"variants": ["asyncio"], **fields}), usable)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("affinity", "usable", "server", "generator"),
    [
        ("apart", [0, 1], {0}, {1}),
        ("apart", [2, 3, 4, 5], {2}, {4}),  # 3 is the other hardware thread of 2
        ("apart", [2, 3], {2}, {3}),
        ("one", [2, 3], {2}, {2}),
        ("free", [2, 3], {2, 3}, {2, 3}),
    ],
)
def test_the_cores_of_an_affinity(affinity: Affinity, usable: list[int], server: set[int], generator: set[int]) -> None:
    assert cores_for(affinity, usable, lambda core: str(core // 2)) == Cores(frozenset(server), frozenset(generator))


def test_without_a_way_to_pin_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == CORES

    def refuses(pid: int, cores: Collection[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuses)
    assert usable_cores() == []
    monkeypatch.delattr(os, "sched_setaffinity")
    assert usable_cores() == []
    assert cores_for("free", []) is None


def test_variants_are_told_apart_by_their_affinity() -> None:
    one = Experiment.model_validate({"variants": ["threads", {"variant": "threads", "affinity": "one"}]})
    assert one.labels == ["threads", "threads affinity=one"]
    assert Experiment.model_validate_json(one.model_dump_json(by_alias=True)) == one
    assert [with_affinity(one, [0, 1]).affinity_of(place) for place in range(2)] == ["apart", "one"]


# Pinning

THREADS = """
import sys, threading

waiting = threading.Event()
for _ in range(8):
    threading.Thread(target=waiting.wait).start()
print(flush=True)
sys.stdin.readline()
threading.Thread(target=waiting.wait).start()
print(flush=True)
sys.stdin.readline()
waiting.set()
"""


def test_all_threads_of_a_process_are_pinned_and_those_it_starts_later() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        assert cores_of(process.pid) == CORES
        pin(process.pid, {CORES[-1]})
        assert cores_of(process.pid) == [CORES[-1]]
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 10
        assert cores_of(process.pid) == [CORES[-1]]
        process.stdin.close()
    pin(process.pid, {CORES[0]})  # it has ended: nothing is done
    assert cores_of(process.pid) is None


# Measured


def test_server_and_generator_run_where_the_result_says(lab: httpx.Client, lab_app: Program) -> None:
    body = {**SHORT, "variants": ["threads"], "seconds": 10, "affinity": "one"}
    begun = lab.post("/experiments", json=body).json()

    def threads_of(module: bytes) -> list[int]:
        found = (pid for pid in children(lab_app.process.pid) if module in Path(f"/proc/{pid}/cmdline").read_bytes())
        return [int(thread.name) for pid in found for thread in Path(f"/proc/{pid}/task").iterdir()]

    def all_run() -> bool:
        with suppress(OSError):  # one may end meanwhile
            return len(threads_of(b"host_process")) > SHORT["clients"] and len(threads_of(b"generator")) == 1
        return False

    eventually(all_run, "the server has its threads", 20)
    for module in (b"host_process", b"generator"):
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads_of(module)} == {frozenset(CORES[:1])}
    assert os.sched_getaffinity(lab_app.process.pid) == set(CORES)
    lab.delete(f"/experiments/{begun['id']}")


def test_each_trial_has_the_cores_of_both(lab: httpx.Client) -> None:
    result = measured(
        lab, variants=["asyncio", {"variant": "asyncio", "affinity": "free"}, {"variant": "asyncio", "affinity": "one"}]
    )
    assert result["experiment"]["affinity"] == DEFAULT
    default, free, one = result["trials"]
    assert (default["affinity"], default["server_cores"]) == (DEFAULT, CORES[:1])
    assert (default["generator_cores"] == default["server_cores"]) is (DEFAULT == "one")
    assert (free["affinity"], free["server_cores"], free["generator_cores"]) == ("free", CORES, CORES)
    assert (one["affinity"], one["server_cores"], one["generator_cores"]) == ("one", CORES[:1], CORES[:1])
    id = result["id"]
    assert lab.get(f"/results/{id}?format=csv").text.splitlines()[1].split(",")[-4:-2] == [DEFAULT, str(CORES[0])]
    assert f"server {CORES[0]}, generator {CORES[0]}" in lab.get(f"/results/{id}?format=html").text


def test_two_cores_are_measured_where_there_are_two(lab: httpx.Client) -> None:
    answer = lab.post("/experiments", json={**SHORT, "name": "two-cores"})
    if len(CORES) < 2:
        assert refusal(answer) == (422, "invalid", "variants.0.affinity")
        return
    assert finished(lab, answer.json()["id"])["state"] == "done"
    trials = lab.get(f"/results/{answer.json()['id']}").json()["trials"]
    assert [len(one["server_cores"]) for one in trials] == [1, len(CORES), 1]
    assert [one["server_cores"] == one["generator_cores"] for one in trials] == [False, True, True]


def test_an_app_with_one_core_says_so(program: Callable[..., Program]) -> None:
    on_one = f"import os, sys; os.sched_setaffinity(0, [{CORES[-1]}]); os.execv(sys.argv[1], sys.argv[1:])"
    running = program(command=(sys.executable, "-c", on_one, str(ECHODECK)))
    with httpx.Client(base_url=f"{running.url}/lab", timeout=30) as http:
        refused = http.post("/experiments", json={**SHORT, "variants": ["asyncio"], "affinity": "apart"})
        assert refusal(refused) == (422, "invalid", "affinity")
        assert "may use one core" in refused.json()["detail"]
        assert refusal(http.post("/experiments", json="two-cores")) == (422, "invalid", "variants.0.affinity")
        result = measured(http, variants=["asyncio"])
    assert result["experiment"]["affinity"] == "one"
    (only,) = result["trials"]
    assert (only["server_cores"], only["generator_cores"]) == ([CORES[-1]], [CORES[-1]])
    assert any("shared a core" in note for note in result["noise"]["notes"])


def test_what_is_not_the_labs_is_not_pinned(lab: httpx.Client, lab_app: Program) -> None:
    here = measured(lab, variants=["asyncio"], **{"in": "here"})
    assert here["experiment"]["affinity"] == here["trials"][0]["affinity"] == "free"
    assert here["trials"][0]["server_cores"] == sorted(os.sched_getaffinity(lab_app.process.pid)) == CORES
    assert any(("The kernel chose" if len(CORES) > 1 else "shared a core") in note for note in here["noise"]["notes"])
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listener:

        def echo() -> None:
            with suppress(OSError), listener.accept()[0] as client:
                while data := client.recv(65536):
                    client.sendall(data)

        echoing = threading.Thread(target=echo)
        echoing.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        foreign = measured(lab, variants=[], compare_with=address, clients=1, affinity="one")
        echoing.join()
    (only,) = foreign["trials"]
    assert (only["server_cores"], only["generator_cores"]) == (None, CORES[:1])
    assert any(f"of {address} is not the lab's" in note for note in foreign["noise"]["notes"])


# Said


def test_a_result_of_an_earlier_version_had_no_affinity() -> None:
    result = json.loads(result_of(TWO, [trial(), trial("threads")]).model_dump_json(by_alias=True))
    del result["experiment"]["affinity"]
    for one in result["trials"]:
        del one["affinity"], one["server_cores"], one["generator_cores"]
    earlier = parse(json.dumps(result))
    assert earlier.experiment.affinity == "free"
    assert earlier.cores == [("free", "", "")]
    assert as_csv(earlier.trials).splitlines()[1].endswith(",free,,,0")
    assert "the kernel chooses: server" in as_html(earlier, words("en"))
    later = Result.model_validate(
        result | {"experiment": TWO.model_copy(update={"affinity": "apart"}).model_dump(by_alias=True)}
    )
    assert same_affinity(earlier, earlier)
    assert not same_affinity(earlier, later)


@pytest.mark.parametrize(
    ("affinities", "cores", "notes"),
    [
        (["one", "one"], [0], ["Server and generator shared a core"]),
        (["free", "free"], [0], ["Server and generator shared a core"]),  # as there is no other
        (["free", "free"], [0, 1], ["The kernel chose"]),
        (["apart", "free"], [0, 1], []),  # that is then what is compared
        (["apart", "apart"], None, ["The affinity of asyncio is not the lab's"]),
    ],
)
def test_the_notes_of_an_affinity(affinities: list[str], cores: list[int] | None, notes: list[str]) -> None:
    trials = [trial(affinity=one, server_cores=cores, generator_cores=cores) for one in affinities]
    found = noise(trials, 0).notes
    assert len(found) == len(notes)
    assert all(map(str.startswith, found, notes))


def test_the_command_sets_it_in_place_of_the_file(lab: httpx.Client, lab_app: Program, tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(
        'variants = ["asyncio"]\nseconds = 0.2\nwarm_up = 0.05\nrounds = 1\nclients = 3\naffinity = "free"\n'
    )

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ECHODECK, "lab", "run", str(file), *options],
            env=environment(lab_app.url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = run()
    assert done.returncode == 0, done.stderr
    cores = ", ".join(map(str, CORES))
    assert f"affinity free: cores of the server {cores}; of the generator {cores}" in done.stdout
    assert json.loads(run("--affinity", "one", "--json").stdout)["experiment"]["affinity"] == "one"
    file.write_text('variants = ["asyncio"]\naffinity = "both"\n')
    assert "one.toml:2: affinity: Input should be 'apart', 'one' or 'free'" in run().stderr


def test_the_page_asks_for_it_and_says_it(lab: httpx.Client, lab_app: Program) -> None:
    form = {"variants": "asyncio", "seconds": "0.2", "rounds": "1", "clients": "2", "affinity": "one"}
    page = httpx.post(f"{lab_app.url}/ui/lab", data=form, follow_redirects=True, headers={"origin": lab_app.url})
    assert page.status_code == 200
    assert "server and generator share a core" in page.text
    wrong = httpx.post(f"{lab_app.url}/ui/lab", data={**form, "affinity": "both"}, headers={"origin": lab_app.url})
    assert wrong.status_code == 422
    assert "affinity" in wrong.text
