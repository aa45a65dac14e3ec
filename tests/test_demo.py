"""``echodeck demo`` and ``echodeck visitors`` against the real program."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import servers
from app.declaring import declared
from app.demo.declaration import BEYOND, as_toml, declaration
from app.demo.visitors import BETWEEN_FIRSTS, MOST, Place, crowd
from app.supervising.backoff import Backoff
from tests.commanding import SLOW
from tests.conftest import ECHODECK, VARIANTS, Program
from tests.helpers import until

Start = Callable[..., Program]
Run = Callable[..., "subprocess.Popen[str]"]

SOON = 12.0
"""Seconds for an end, on a busy machine; less than what anything that could be waited for takes."""

LONG = 120.0
"""Seconds in which people who take their time have done everything once, on a busy machine too."""


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts a command that ends with the test."""
    started = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("ECHODECK_")}
        started.append(
            subprocess.Popen(
                [ECHODECK, *arguments],
                env=own | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.terminate()  # and not kill: the demo has a child
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=SLOW)
        process.kill()


def free_ports() -> int:
    """A port with the demo's others after it, all free."""
    for first in random.sample(range(10_000, 19_900), 100):
        with suppress(OSError):
            for one in (first, *(int(entry["port"]) for entry in declaration(first))):
                with socket.socket() as trial:
                    trial.bind(("127.0.0.1", one))
            return first
    raise AssertionError("no free ports")


def hear(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it ended without saying {words!r}: {process.communicate()[1]}")


def items(url: str, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}{path}?limit=1000").json()["items"]
    return found


def end(process: subprocess.Popen[str], sig: signal.Signals) -> tuple[int, float]:
    """What it ends with, and after how many seconds."""
    began = time.monotonic()
    process.send_signal(sig)
    process.communicate(timeout=SLOW)
    return process.returncode, time.monotonic() - began


@pytest.mark.parametrize("sig", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
async def test_the_demo_is_alive_and_ends_when_it_is_told(run: Run, sig: signal.Signals) -> None:
    port = free_ports()
    demo = run("demo", "--port", str(port), "--seed", "1")
    url = f"http://127.0.0.1:{port}"
    assert hear(demo, "page is at").split()[-1] == f"{url}/"
    await until(lambda: len(items(url, "/servers")) == len(VARIANTS), "every variant is there")
    assert {(one["variant"], one["port"] - port) for one in items(url, "/servers")} >= {
        (variant.name, variant.step or BEYOND[variant.name]) for variant in VARIANTS.values()
    }
    await until(lambda: len(people(url, "open")) > 20, "many are inside", LONG)
    await until(lambda: [one for one in people(url, "waiting") if "blocking-" in one], "somebody waits", LONG)
    await until(lambda: {"boom"} <= {one["message"] for one in items(url, "/exceptions")}, "boom", LONG)
    await until(
        lambda: "ConnectionResetError" in {one["type"] for one in items(url, "/exceptions")}, "somebody vanished", LONG
    )
    await until(
        lambda: {one["variant"] for one in items(url, "/servers") if one["connections"]["total"]} == set(VARIANTS),
        "somebody was everywhere",
        LONG,
    )
    assert {one["state"] for one in items(url, "/servers")} <= {"running", "backoff", "starting"}
    assert len(people(url, "open")) + len(people(url, "waiting")) <= MOST
    code, seconds = end(demo, sig)
    assert (code, seconds < SOON) == (0, True)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def people(url: str, state: str) -> list[str]:
    return [one["server"] for one in items(url, "/connections") if one["state"] == state]


async def test_visitors_wait_for_an_app_that_went_away(run: Run, program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    httpx.post(f"{first.url}/servers", json={"variant": "asyncio", "port": 0})
    visitors = run("visitors", "--url", first.url, "--seed", "1")
    await until(lambda: people(first.url, "open"), "they are there", LONG)
    first.process.kill()
    first.wait()
    await asyncio.to_thread(hear, visitors, "waiting for the app")
    second = program("--state", state, "--port", str(first.port))
    await asyncio.to_thread(hear, visitors, "the app is there")
    await until(lambda: people(second.url, "open"), "they are there again", LONG)
    httpx.delete(f"{second.url}/servers/{items(second.url, '/servers')[0]['name']}")
    httpx.post(f"{second.url}/servers", json={"variant": "blocking", "port": 0})
    await until(lambda: people(second.url, "waiting"), "they find what is new", LONG)
    code, seconds = end(visitors, signal.SIGTERM)
    assert (code, seconds < SOON) == (0, True)
    await until(lambda: not people(second.url, "open") + people(second.url, "waiting"), "they left")


async def test_visitors_end_at_once_even_if_the_app_does_not_answer(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        visitors = run("visitors", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}")
        asking, _ = await asyncio.to_thread(silent.accept)
        with asking:
            code, seconds = end(visitors, signal.SIGINT)
    assert (code, seconds < SOON) == (0, True)


def test_visitors_without_the_token_say_so(run: Run, program: Start) -> None:
    running = program(ECHODECK_TOKEN="secret")
    visitors = run("visitors", "--url", running.url)
    said = visitors.communicate(timeout=SLOW)[1]
    assert (visitors.returncode, "token" in said, "Traceback" in said) == (5, True, False)


def test_a_port_that_is_taken_is_named(run: Run) -> None:
    first = free_ports()
    with socket.create_server(("127.0.0.1", first + 3)):
        demo = run("demo", "--port", str(first))
        said = demo.communicate(timeout=SLOW)[1]
    assert (demo.returncode, f"port {first + 3} is taken" in said, "Traceback" in said) == (1, True, False)


async def test_a_demo_whose_app_fails_fails_too(run: Run) -> None:
    demo = run("demo", "--port", str(free_ports()), "--state", "/proc/nowhere/state")
    said = (await asyncio.to_thread(demo.communicate, timeout=SLOW))[1]
    assert (demo.returncode, "--state" in said, "Traceback" in said) == (1, True, False)


def test_what_the_demo_declares_is_what_serve_takes() -> None:
    specs = declared.read(as_toml(9000).encode(), "demo.toml", VARIANTS)
    assert {spec.variant for spec in specs} == set(VARIANTS)
    assert len({spec.port for spec in specs} | {9000}) == len(VARIANTS) + 1
    ends = {spec.variant for spec in specs if spec.restart == "always"}
    assert ends == {variant.name for variant in VARIANTS.values() if variant.wire.clients == "one in all"}


def test_a_new_variant_is_in_the_demo_and_moves_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = declaration()
    (tmp_path / "beyond_aaa.py").write_text(
        '"""Come first by name.\n\nIts port comes last all the same, as ports of others are known by heart."""\n'
        "async def serve(listener, options): ...\n"
    )
    monkeypatch.setattr(servers, "__path__", [*servers.__path__, str(tmp_path)])
    assert [*before, {"variant": "aaa", "port": 8014, "host": "127.0.0.1"}] == declaration()
    del sys.modules["servers.beyond_aaa"]


@pytest.mark.parametrize("count", [1, 10, 50, 1000])
def test_visitors_are_bounded_whatever_there_is(count: int) -> None:
    kinds = ["all at once", "one at a time", "one in all"]
    found = crowd(Place(f"server-{number}", number, kinds[number % 3]) for number in range(count))
    assert 0 < sum(found.values()) <= MOST
    assert all(found.values())


def test_a_server_that_ends_with_its_client_is_visited_seldom_enough_for_its_restart_policy() -> None:
    policy = Backoff(chance=lambda: 1.0)
    now = 0.0
    for _ in range(20):
        delay = policy.next_delay(now, BETWEEN_FIRSTS[0] - 1)
        assert delay is not None
        assert delay < 1
        now += BETWEEN_FIRSTS[0]
