"""The generator of loads, as a process of its own against real servers; and its histogram."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.experiments.histogram import UNIT, Histogram, NoHistogram
from servers import discover
from tests.programs import Program

WIRES = {name: variant.wire for name, variant in discover().items()}


# The histogram


@given(st.lists(st.floats(0, 600), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_a_percentile_is_off_by_less_than_one_in_a_hundred(values: list[float], share: float) -> None:
    made = Histogram()
    for value in values:
        made.record(value)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert made.percentile(share) == pytest.approx(exact, rel=0.008, abs=UNIT)
    assert made.most == max(values)


@given(st.lists(st.floats(0, 600)), st.lists(st.floats(0, 600)))
def test_merged_histograms_are_those_of_all_values(some: list[float], others: list[float]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in some:
        one.record(value)
        both.record(value)
    for value in others:
        other.record(value)
        both.record(value)
    one.merge(Histogram.of(json.loads(json.dumps(other.told()))))
    assert one.told() == both.told()


@pytest.mark.parametrize("told", [{}, {"count": 1}, {"count": 1, "max": 1, "places": [[-(10**9), 1]]}, {"places": 3}])
def test_what_is_no_histogram(told: dict[str, Any]) -> None:
    with pytest.raises(NoHistogram):
        Histogram.of(told)


def test_of_nothing_there_is_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


# The generator


@contextmanager
def generator(**load: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "app.lab.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin
        process.stdin.write(json.dumps({"seconds": 0.5, "warm_up": 0.1, "clients": 5, **load}) + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def run(**load: Any) -> dict[str, Any]:
    with generator(**load) as process:
        assert process.stdout
        said = [json.loads(line) for line in process.stdout]
    assert said[0]["event"] == "ready" or len(said) == 1
    return dict(said[-1])


def wired(variant: str) -> dict[str, Any]:
    wire = WIRES[variant]
    return {
        "churn": wire.hangs_up,
        "ending": "quit\n" if wire.answers == "until quit" else "\n",
        "prefix": wire.prefix.decode(),
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Program]:
    program = Program("--state", ":memory:")
    yield program
    program.end()


@pytest.fixture(scope="module")
def ports(running: Program) -> dict[str, int]:
    found = {}
    for name, wire in WIRES.items():
        if wire.clients != "one in all":
            body = {"variant": name, "port": 0, "backlog": 1024}
            found[name] = httpx.post(f"{running.url}/servers", json=body).raise_for_status().json()["port"]
    return found


@contextmanager
def echo(does: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of the test's own: a thread for each client."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1024)) as listener:

        def dealt_with(client: socket.socket) -> None:
            with client, suppress(OSError):
                does(client)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=dealt_with, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def echoes(client: socket.socket, before: Callable[[], None] = lambda: None) -> None:
    with client:
        while data := client.recv(1 << 20):
            before()
            client.sendall(data)


@pytest.mark.parametrize("variant", [name for name, wire in WIRES.items() if wire.clients != "one in all"])
@pytest.mark.parametrize("size", [64, 65536])
def test_every_variant_answers_it(ports: dict[str, int], variant: str, size: int) -> None:
    done = run(port=ports[variant], size=size, **wired(variant))
    assert done["event"] == "done", done
    assert done["errors"] == {}
    assert done["messages"] > 10
    assert done["messages"] == sum(done["by_client"]) == Histogram.of(done["latency"]).count
    assert done["bytes"] == done["messages"] * size
    assert 0 < sum(count for count, _ in done["series"]) <= done["messages"]
    assert [sum(tenth.values()) for tenth in done["heat"]] == [count for count, _ in done["series"]]


def test_an_open_loop_keeps_its_rate(ports: dict[str, int]) -> None:
    done = run(port=ports["asyncio"], rate=500, seconds=1)
    assert done["messages"] + done["unsent"] == pytest.approx(500, rel=0.1)
    assert done["schedule"]["count"] == pytest.approx(done["messages"], rel=0.1)


def test_thinking_clients_wait_between_messages(ports: dict[str, int]) -> None:
    assert run(port=ports["asyncio"], think=0.1, seconds=1)["messages"] <= 5 * 11


def test_more_than_one_message_may_be_on_its_way(ports: dict[str, int]) -> None:
    done = run(port=ports["asyncio"], pipeline=10, clients=1)
    assert (done["event"], done["errors"]) == ("done", {})
    assert done["messages"] > 10


def test_a_connection_for_each_message(ports: dict[str, int]) -> None:
    done = run(port=ports["asyncio"], churn=True)
    assert done["errors"] == {}
    assert done["messages"] > 10


def test_silent_and_slow_clients_are_beside_the_others(ports: dict[str, int], running: Program) -> None:
    with generator(port=ports["asyncio"], silent=7, slow=3, seconds=2) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["event"] == "ready"
        name = f"asyncio-{ports['asyncio']}"
        assert httpx.get(f"{running.url}/servers/{name}").json()["connections"]["open"] == 5 + 7 + 3
        assert json.loads(process.stdout.readlines()[-1])["errors"] == {}


class Stall:
    """Stands still for 200 ms, a second after its first message, for all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None
        self._over = False

    def __call__(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._began = self._began or now
            if not self._over and now > self._began + 1:
                self._over = True
                time.sleep(0.2)


@pytest.mark.parametrize(("rate", "shows"), [(500, True), (None, False)])
def test_a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one(rate: int | None, shows: bool) -> None:
    stall = Stall()
    with echo(lambda client: echoes(client, stall)) as port:
        done = run(port=port, rate=rate, seconds=2.5)
    p99 = Histogram.of(done["latency"]).percentile(0.99)
    assert p99 is not None
    assert done["latency"]["max"] > 0.19
    assert (p99 > 0.1) is shows  # a tenth of a second of two and a half is four of a hundred messages


def test_a_server_that_hangs_up_is_an_error_and_no_end() -> None:
    def hangs_up(client: socket.socket) -> None:
        with client:
            client.sendall(client.recv(1 << 20))

    with echo(hangs_up) as port:
        done = run(port=port)
    assert done["event"] == "done"
    assert done["errors"].keys() <= {"the server hung up", "ECONNRESET"}
    assert sum(done["errors"].values()) >= 5


def test_an_open_loop_says_what_it_could_not_send() -> None:
    def takes_nothing(client: socket.socket) -> None:
        time.sleep(10)

    with echo(takes_nothing) as port:
        done = run(port=port, rate=2000, size=65536, clients=2)
    assert done["messages"] == 0
    assert done["unsent"] > 500


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        ({"port": 1}, "refused"),
        ({"port": 80, "clients": 0}, "clients"),
        ({"port": 80, "colour": 1}, "colour"),
        ({}, "port"),
    ],
)
def test_what_cannot_be_done_is_said(load: dict[str, Any], reason: str) -> None:
    said = run(**load)
    assert said["event"] == "failed"
    assert reason in said["reason"]


def test_it_ends_with_whoever_started_it(ports: dict[str, int]) -> None:
    with generator(port=ports["asyncio"], seconds=60) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(60) == 1
        process.stdin = None
