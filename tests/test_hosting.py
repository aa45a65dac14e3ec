"""Server hosts: the process in which a measured server runs, its control channel, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.hosting.server_host import HostFailed
from app.hosting.subprocess_host import SubprocessHost, subprocess_host
from app.loop.runner import loop_factory
from tests.helpers import PATIENCE, Client, refuses
from tests.labs import SHORT, children, eventually, finished, is_there, refusal
from tests.programs import Start

ROOT = Path(__file__).parent.parent
WEB = {
    "babel",
    "fastapi",
    "httpx",
    "jinja2",
    "pydantic_settings",
    "rich",
    "starlette",
    "typer",
    "uvicorn",
    "websockets",
}
"""What only the page, REST and the commands need."""


def with_a_host(does: Callable[[SubprocessHost], Awaitable[None]], loop: str = "asyncio") -> None:
    """On a loop of that kind, as in an app that runs on it."""

    async def run() -> None:
        async with subprocess_host(loop) as host:
            await does(host)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(run())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_is_started_measured_traced_and_stopped_in_it(loop: str) -> None:
    async def does(host: SubprocessHost) -> None:
        server = await host.start({"variant": "asyncio", "port": 0, "name": "one"})
        assert server.name == "one"
        assert host.pid != os.getpid()
        await host.begin_trace("one")
        async with await Client.to(server.port, server.host) as client:
            await client.ask(b"hello\n", b"hello\n")
        head, body = await host.end_trace("one")
        calls = json.loads(zlib.decompress(body))["calls"]
        assert head["count"] == len(calls)
        assert (head["server"], head["variant"], head["state"]) == ("one", "asyncio", "done")
        assert 6 in [call["result"] for call in calls if call["call"] == "recv"]
        assert head["waits"] is (loop == "asyncio")
        lag = await host.lag()
        assert lag is None or lag >= 0
        await host.stop("one")
        assert await refuses(server.port)

    with_a_host(does, loop)


SAYS_WHAT_IT_IMPORTED = """
import asyncio, json, socket, sys
from app.hosting import host_process

async def main():
    ours, theirs = socket.socketpair()
    host = asyncio.create_task(host_process.serve(theirs))
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    for request in (
        {"do": "start", "spec": {"variant": "selectors", "port": 0, "name": "one"}},
        {"do": "begin trace", "name": "one"},
        {"do": "lag"},
        {"do": "end trace", "name": "one"},
        {"do": "stop", "name": "one"},
    ):
        await reader.readline()
        writer.write(json.dumps(request).encode() + b"\\n")
    print(*sys.modules, flush=True)
    writer.close()
    await host

asyncio.run(main())
"""


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_nothing_of_the_web_is_imported_in_it() -> None:
    """With the web, its start takes a processor for two seconds in place of a quarter: a comparison starts four."""
    found = imported(SAYS_WHAT_IT_IMPORTED)
    assert {"app", "servers"} <= found
    assert not found & WEB


def test_a_generator_imports_no_models_and_no_loop() -> None:
    """They are three quarters of its start, which is a part of every trial."""
    found = imported("import sys, app.lab.generator\nprint(*sys.modules)")
    assert not found & (WEB | {"asyncio", "pydantic"})


async def test_several_start_at_once_and_end_with_their_context() -> None:
    async with AsyncExitStack() as stack:
        hosts = await asyncio.gather(*(stack.enter_async_context(subprocess_host("asyncio")) for _ in range(4)))
        servers = await asyncio.gather(*(host.start({"variant": "threads", "port": 0}) for host in hosts))
        assert len({host.pid for host in hosts}) == 4
        for server in servers:
            async with await Client.to(server.port) as client:
                await client.ask(b"x\n", b"x\n")
    assert not any(is_there(host.pid) for host in hosts)


STARTS_TWO = """
import asyncio
from app.hosting.subprocess_host import subprocess_host

async def main():
    async with subprocess_host("asyncio") as one, subprocess_host("asyncio") as other:
        await one.start({"variant": "nonblocking", "port": 0})
        await other.start({"variant": "blocking", "port": 0})
        print(one.pid, other.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_it_ends_with_the_process_that_started_it_whatever_that_dies_of() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_TWO], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        hosts = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(hosts) == 2
        parent.kill()
    eventually(lambda: not any(map(is_there, hosts)), "nothing is left")


STANDS_STILL = """
import sys, time
from app.hosting import host_process

async def stand_still(self, line):
    time.sleep(600)

host_process.HostProcess.answer = stand_still
host_process.main(sys.argv[1], "asyncio")
"""


def test_it_ends_with_its_channel_while_its_loop_stands_still() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", STANDS_STILL, str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        ours.settimeout(60)
        assert json.loads(ours.recv(100)) == {"result": "ready"}
        ours.sendall(b"{}\n")
    try:
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


async def test_a_request_that_fails_has_its_reason_and_leaves_the_host_as_it_was() -> None:
    async with subprocess_host("asyncio") as host:
        with pytest.raises(HostFailed, match="no variant 'nope'"):
            await host.start({"variant": "nope", "port": 0})
        with pytest.raises(HostFailed, match="port"):
            await host.start({"variant": "asyncio", "port": -1})
        with pytest.raises(HostFailed, match="no server 'nobody'"):
            await host.begin_trace("nobody")
        assert (await host.start({"variant": "asyncio", "port": 0})).port


async def test_a_host_that_is_killed_fails_what_is_requested() -> None:
    async with subprocess_host("asyncio") as host:
        os.kill(host.pid, signal.SIGKILL)
        with pytest.raises(HostFailed, match="has ended with -9"):
            await host.start({"variant": "asyncio", "port": 0})
        with pytest.raises(HostFailed):
            await host.lag()


async def test_the_answer_to_a_cancelled_request_is_not_taken_for_the_next_ones() -> None:
    async with subprocess_host("asyncio") as host:
        os.kill(host.pid, signal.SIGSTOP)
        request = asyncio.create_task(host.start({"variant": "asyncio", "port": 0}))
        await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait({request})
        os.kill(host.pid, signal.SIGCONT)
        with pytest.raises(HostFailed, match="earlier request"):
            await host.lag()


async def test_a_server_that_ends_by_itself_leaves_its_trace() -> None:
    async with subprocess_host("asyncio") as host:
        server = await host.start({"variant": "accept-once", "port": 0, "restart": "never", "name": "one"})
        await host.begin_trace("one")
        async with await Client.to(server.port) as client:
            await client.rest()
        while not await refuses(server.port):
            await asyncio.sleep(0.01)
        head, body = await host.end_trace("one")
        assert head["state"] == "stopped"
        assert "accept" in [call["call"] for call in json.loads(zlib.decompress(body))["calls"]]


# Of a whole app


def test_an_app_on_uvloop_measures_and_compares(program: Start) -> None:
    running = program("--loop", "uvloop")
    with httpx.Client(base_url=running.url, timeout=60) as http:
        begun = http.post("/lab/experiments", json={**SHORT, "variants": ["asyncio"]}).json()
        lab = httpx.Client(base_url=f"{running.url}/lab", timeout=60)
        assert finished(lab, begun["id"])["state"] == "done"
        lab.close()
        made = http.post("/comparisons", json={"script": "one-client", "variants": ["asyncio", "blocking"]})
        assert made.status_code == 201, made.text
        assert [one["waits"] for one in made.json()["items"]] == [False, False]
    assert children(running.process.pid) == set()


def test_a_host_that_dies_while_a_script_is_played_is_said(program: Start) -> None:
    running = program()
    script = '[[client]]\ndoes = ["connect", "wait 2", "leave"]\n'
    answers: list[httpx.Response] = []

    def compare() -> None:
        body = {"script": script, "variants": ["asyncio", "blocking"]}
        answers.append(httpx.post(f"{running.url}/comparisons", json=body, timeout=60))

    comparing = threading.Thread(target=compare)
    comparing.start()
    eventually(lambda: len(children(running.process.pid)) == 2, "both hosts are started")
    os.kill(min(children(running.process.pid)), signal.SIGKILL)
    comparing.join()
    (answer,) = answers
    assert refusal(answer)[:2] == (503, "not-played")
    assert "has ended with -9" in answer.json()["detail"]
    assert children(running.process.pid) == set()
