"""Servers that should run and cannot yet, and requests that meet the end of a connection."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

import echodeck
from app.errors import PortTaken
from app.history.store import Store
from app.supervising.lifecycle import ExitReason, State
from app.supervising.listening import Policy
from app.supervising.spec import ServerSpec
from app.supervising.supervisor import Supervisor
from tests.conftest import VARIANTS, HandClock, Start
from tests.helpers import Client, until
from tests.programs import Start as StartProgram
from tests.programs import make


def supervisor_of(path: Path, clock: HandClock) -> Supervisor:
    return Supervisor(VARIANTS, Policy(range(1024, 65536), False), Store(path), clock=clock)


async def left_running(path: Path, restart: str, count: int) -> list[int]:
    """A state file of servers that should run; returns their ports, which are free again."""
    first = supervisor_of(path, HandClock())
    await first.open()
    for number in range(count):
        spec = ServerSpec.model_validate({"variant": "asyncio", "port": 0, "name": f"s{number}", "restart": restart})
        await first.create(spec)
    ports = [server.spec.port for server in first.servers()]
    await first.close()
    return ports


async def turned(clock: HandClock, seconds: float) -> None:
    for _ in range(int(seconds)):
        clock.turn(1.0)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("restart", ["always", "on-failure"])
async def test_ports_that_another_program_still_has_are_waited_for(tmp_path: Path, restart: str) -> None:
    ports = await left_running(tmp_path / "state", restart, 20)
    clock = HandClock()
    again = supervisor_of(tmp_path / "state", clock)
    await again.open()
    with ExitStack() as held:
        for port in ports:
            held.enter_context(closing(socket.create_server(("127.0.0.1", port))))
        await again.resume()
        assert {server.state for server in again.servers()} == {State.BACKOFF}
        began = {server.name: server.since for server in again.servers()}
        await turned(clock, 600)
        await until(lambda: {server.state for server in again.servers()} == {State.BACKOFF}, "all wait")
        for server in again.servers():
            assert server.exit is not None
            assert server.exit.reason is ExitReason.UNAVAILABLE
            assert f"{server.spec.port} is taken by a program outside of this app" in server.exit.message
            assert (server.restarts, server.desired, server.since) == (0, "running", began[server.name])
        notes = [entry.what for entry in again.chronicle.entries(server="s0")]
        assert len([what for what in notes if what.startswith("waits until it can listen")]) == 1  # not one a try
    await turned(clock, 40)
    await until(lambda: {server.state for server in again.servers()} == {State.RUNNING}, "all run")
    await again.close()


async def test_who_may_never_restart_is_not_tried_again(tmp_path: Path) -> None:
    (port,) = await left_running(tmp_path / "state", "never", 1)
    again = supervisor_of(tmp_path / "state", HandClock())
    await again.open()
    with closing(socket.create_server(("127.0.0.1", port))):
        await again.resume()
    (server,) = again.servers()
    assert (server.state, server.desired) == (State.CRASHED, "stopped")
    await again.close()


async def test_one_that_waits_can_be_stopped_started_and_removed(tmp_path: Path) -> None:
    (port,) = await left_running(tmp_path / "state", "always", 1)
    again = supervisor_of(tmp_path / "state", HandClock())
    await again.open()
    with closing(socket.create_server(("127.0.0.1", port))):
        await again.resume()
        (server,) = again.servers()
        await again.stop("s0")
        assert (server.state, server.desired) == (State.STOPPED, "stopped")
        with pytest.raises(PortTaken):  # who asks is told at once
            await again.start("s0")
        await again.keep("s0")
        assert server.state is State.BACKOFF
    await again.start("s0")
    assert server.state is State.RUNNING
    await again.remove("s0")
    await again.close()


async def test_a_server_that_crashed_waits_for_a_port_that_was_stolen_meanwhile(
    start: Start, clock: HandClock, supervisor: Supervisor
) -> None:
    async def crashes(listener: socket.socket, options: object) -> None:
        raise ValueError("no")

    from tests.conftest import made_up

    supervisor.variants = {**supervisor.variants, "made-up": made_up(crashes)}
    server = await start("made-up")
    await until(lambda: server.state is State.BACKOFF, "it crashed")
    with closing(socket.create_server(("127.0.0.1", server.spec.port))):
        await turned(clock, 300)
        assert server.state is State.BACKOFF
        assert server.exit is not None
        assert "is taken" in server.exit.message
    await turned(clock, 400)
    await until(lambda: server.state is State.FAILED, "it crashes too often, and that is given up")


async def test_an_app_whose_ports_are_taken_at_its_start(program: StartProgram, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    made = make(first, "asyncio", restart="always")
    first.process.kill()
    first.wait()
    url = ""
    with closing(socket.create_server(("127.0.0.1", int(str(made["port"]))))):
        url = program("--state", state).url
        server = f"{url}/servers/{made['name']}"
        await until(lambda: httpx.get(server).json()["state"] == "backoff", "it waits until it tries again")
        assert httpx.get(server).json()["exit"]["reason"] == "unavailable"
        page = httpx.get(f"{url}/ui/servers/{made['name']}", headers={"accept": "text/html"}).text
        assert "waits until it can listen" in page
    await until(lambda: httpx.get(f"{url}/servers/{made['name']}").json()["state"] == "running", "it runs")
    async with await Client.to(int(str(made["port"]))) as client:
        await client.ask(b"x", b"x")


# The client library


@contextmanager
def ending_connections(answers: int) -> Iterator[tuple[str, list[str]]]:
    """A server that keeps connections alive, and ends every second one as its next request comes."""
    requests: list[str] = []
    body = b'{"items": [], "next": null}'

    def serve(listener: socket.socket) -> None:
        with listener:
            for number in range(answers):
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(65536).split(b" ")[0].decode())
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                    if number % 2 == 0:
                        requests.append(connection.recv(65536).split(b" ")[0].decode())

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
    thread.join(10)


def test_a_safe_request_that_meets_a_connections_end_is_sent_once_more() -> None:
    with ending_connections(2) as (url, requests), echodeck.Client(url) as deck:
        assert deck.servers() == []
        assert deck.servers() == []
    assert requests == ["GET", "GET", "GET"]


def test_a_request_that_changes_something_is_never_sent_twice() -> None:
    with ending_connections(1) as (url, requests), echodeck.Client(url) as deck:
        assert deck.servers() == []
        with pytest.raises(echodeck.Unreachable):
            deck.remove("one")
    assert requests == ["GET", "DELETE"]


def test_the_client_ends_a_connection_before_the_app_does(program: StartProgram) -> None:
    """Who ends a connection that is kept must be the one who sends requests on it: the other may end it too late."""
    running = program()
    with echodeck.Client(running.url) as deck:
        deck.servers()
        (kept,) = deck._http.connections
        time.sleep(echodeck.SECONDS_OF_REUSE + 0.3)
        assert kept.has_expired()
        deck.remove(deck.create("asyncio").name)
        assert kept not in deck._http.connections
