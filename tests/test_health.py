"""Those who ask whether the app is well: load balancers, orchestrators, and ``echodeck health``."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.program import whereabouts
from tests.commanding import environment
from tests.conftest import ECHODECK, Program
from tests.helpers import Client
from tests.programs import Start, make

ROOT = Path(__file__).parent.parent


def health(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ECHODECK, "health", *words],
        env=environment("", **more) | {"ECHODECK_URL": more.get("ECHODECK_URL", "")},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.fixture(scope="module")
def guarded() -> Iterator[Program]:
    running = Program("--state", ":memory:", ECHODECK_TOKEN="secret")
    yield running
    running.end()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize(
    "host",
    ["", "Host: echodeck.cluster.local\r\n", "Host: 10.1.2.3:8000\r\n", "Host: a\r\nHost: b\r\n", "Host: <b>\r\n"],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_probe_is_answered_whatever_it_calls_the_app(
    guarded: Program, path: str, host: str, version: str, method: str
) -> None:
    async with await Client.to(guarded.port) as client:
        await client.send(f"{method} {path} HTTP/{version}\r\n{host}Connection: close\r\n\r\n".encode())
        answer = await client.rest()
    assert answer.split(b"\r\n")[0].split()[1] == b"200"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_is_no_way_around_the_rules(program: Start, path: str) -> None:
    running = program()
    foreign = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert httpx.post(f"{running.url}{path}", headers=foreign).status_code == 403
    assert httpx.get(f"{running.url}{path}/..", headers=foreign).status_code == 403
    assert httpx.get(f"{running.url}{path}/", headers=foreign).status_code == 403
    assert httpx.get(f"{running.url}/servers", headers=foreign).status_code == 403


# The command


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "::", "0.0.0.0", "localhost"])
def test_health_finds_the_app_of_a_state_file(program: Start, host: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    running = program("--host", host, "--trust-network", "--state", str(state))
    (address,) = whereabouts.found(state)
    assert httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
    (tmp_path / "link").symlink_to(tmp_path)
    done = health("--state", str(tmp_path / "link" / "state"))
    assert (done.returncode, done.stdout) == (0, "ready\n"), done
    running.process.kill()
    running.wait()
    assert whereabouts.found(state) == []
    assert address not in whereabouts.found()


def test_health_finds_the_only_app_by_itself(program: Start) -> None:
    others = set(whereabouts.found())  # whoever runs the tests may have an app open beside them
    running = program()
    assert running.url in whereabouts.found()
    done = health()
    assert (done.stdout == "ready\n") != (f"several apps here: {'http'}" in done.stderr)
    assert others or done.stdout or len(whereabouts.found()) > 1


def test_health_without_an_app_says_so(tmp_path: Path) -> None:
    done = health("--state", str(tmp_path / "nobodys"))
    assert (done.returncode, done.stderr) == (1, f"echodeck: no app of this user keeps {tmp_path / 'nobodys'}\n")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    done = health("--url", url)
    assert done.returncode == 1
    assert "nothing answers at" in done.stderr


def test_health_of_one_of_several_asks_for_an_address(program: Start) -> None:
    one, two = program(), program()
    done = health()
    assert done.returncode == 1
    assert {one.url, two.url} <= set(re.findall(r"http://[\d.:]+\d", done.stderr))
    assert health("--url", two.url).returncode == 0


def test_health_of_what_is_no_app() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = health("--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--patience", "0.3")
        assert (done.returncode, "timed out" in done.stderr) == (1, True), done
    assert health("--url", "nonsense").returncode == 1
    assert health("--url", "http://[::1").returncode == 1


async def test_health_while_it_is_stopping(program: Start) -> None:
    running = program()
    made = make(running, "asyncio")
    async with await Client.to(int(str(made["port"]))):
        running.process.send_signal(signal.SIGSTOP)
        try:
            done = await asyncio.to_thread(health, "--url", running.url, "--patience", "0.5")
        finally:
            running.process.send_signal(signal.SIGCONT)
        assert done.returncode == 1
        assert health("--url", running.url).returncode == 0


def test_the_images_check_is_this_command() -> None:
    final = (ROOT / "Dockerfile").read_text()
    assert re.search(r'^HEALTHCHECK .*CMD \["echodeck", "health"\]$', final, re.MULTILINE)


def test_what_the_image_compiles_beforehand_is_there() -> None:
    (modules,) = re.findall(r"import (app\.[\w., ]+);", (ROOT / "Dockerfile").read_text())
    for name in modules.split(", "):
        assert importlib.import_module(name)


# Where it listens


def test_all_addresses_are_those_of_both_families(program: Start) -> None:
    running = program("--host", "::", "--trust-network")
    for family in ("127.0.0.1", "::1"):
        with closing(http.client.HTTPConnection(family, running.port, timeout=30)) as page:
            page.request("GET", "/servers", headers={"Host": f"localhost:{running.port}"})
            assert page.getresponse().status == 200


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "LocalHost."])
def test_localhost_in_any_spelling_is_loopback(program: Start, host: str) -> None:
    running = program("--host", host)
    for name in ("localhost", "LOCALHOST", "localhost.", "127.0.0.1"):
        origin = {"Host": f"{name}:{running.port}", "Origin": f"http://{name}:{running.port}"}
        made = httpx.post(
            f"http://127.0.0.1:{running.port}/servers", json={"variant": "asyncio", "port": 0}, headers=origin
        )
        assert made.status_code == 201, made.text
    assert httpx.get(f"http://127.0.0.1:{running.port}/servers", headers={"Host": "localhost.evil"}).status_code == 403
