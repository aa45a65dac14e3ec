"""When file descriptors run out: the app in a process of its own, with few of them."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import httpx
import pytest

from app.errors import OutOfDescriptors
from app.kernel import descriptors
from app.loop.worker import Worker
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from servers import Connection, Listener
from tests.conftest import ECHODECK, Program, Start
from tests.helpers import PATIENCE, Client, until


def take_all(held: ExitStack) -> None:
    with suppress(OSError):
        while True:
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))


@pytest.fixture
def few_descriptors() -> object:
    """At most 200, as long as the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("variant", ["nonblocking", "selectors", "asyncio-basic", "asyncio"])
async def test_servers_leave_a_reserve_and_turn_the_rest_away(
    few_descriptors: None, supervisor: Supervisor, start: Start, variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start(variant)
    with ExitStack() as clients:
        # The clients' own ends take descriptors of the same process, so the bound is reached at half of it.
        for _ in range(90):
            client = clients.enter_context(socket.socket())
            client.connect(("127.0.0.1", server.spec.port))
            await asyncio.sleep(0)
        await until(lambda: server.tally.turned_away > 0, "the bound is reached")
        await until(lambda: server.waiting == 0, "nobody is left in the queue")
        assert server.state is State.RUNNING
        assert server._run is not None
        assert all(client.connection.fileno() < 200 - descriptors.RESERVE for client in server._run.clients.all())
        os.close(os.open(os.devnull, os.O_RDONLY))  # the reserve is there
    assert caplog.text.count("turns clients away") == 1
    await until(lambda: server.tally.open == 0, "they are gone")
    async with await Client.to(server.spec.port) as later:
        await later.ask(b"quit\n", server.variant.wire.prefix + b"quit\n")


@pytest.mark.parametrize("variant", ["nonblocking", "selectors", "asyncio"])
async def test_with_none_left_at_all_clients_are_turned_away_and_no_loop_spins(
    few_descriptors: None, supervisor: Supervisor, start: Start, variant: str
) -> None:
    server = await start(variant)
    answer = server.variant.wire.prefix + b"quit\n"
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"quit\n", answer)
    await until(lambda: server.tally.open == 0, "the first client is gone")
    with ExitStack() as held:
        client = held.enter_context(socket.socket())
        take_all(held)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.spec.port))
        await until(lambda: server.tally.turned_away == 1, "the client is turned away")
        assert client.recv(1) == b""
        assert server.state is State.RUNNING
    async with await Client.to(server.spec.port) as later:
        await later.ask(b"quit\n", answer)


async def test_a_blocking_accept_waits_for_a_client_to_turn_away(few_descriptors: None) -> None:
    class Told:
        clients = 0
        turned = 0

        descriptor_bound = 10**6

        def admits(self, connection: Connection, address: object) -> bool:
            self.clients += 1
            return True

        def closes(self, connection: Connection) -> None: ...

        def turned_away(self, error: OSError) -> None:
            self.turned += 1

    told = Told()
    with Listener(socket.AF_INET, socket.SOCK_STREAM) as listener, socket.socket() as first, socket.socket() as second:
        listener.watcher = told
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        worker = Worker("accept", listener.accept)
        with ExitStack() as held:
            take_all(held)
            worker.start()
            before = time.process_time()
            await asyncio.wait({worker.ended}, timeout=0.2)
            assert not worker.ended.done()
            assert time.process_time() - before < 0.1  # it waits, and does not spin
            first.settimeout(PATIENCE)
            first.connect(listener.getsockname())
            await until(lambda: told.turned == 1, "the client is turned away")
            assert first.recv(1) == b""
        second.connect(listener.getsockname())
        async with asyncio.timeout(PATIENCE):
            connection, _ = await worker.ended
        connection.close()
        assert (told.turned, told.clients) == (1, 1)


@pytest.mark.parametrize("variant", ["threads", "blocking", "nonblocking", "selectors", "asyncio", "asyncio-streams"])
async def test_when_all_have_left_the_next_client_is_served(
    few_descriptors: None, supervisor: Supervisor, start: Start, variant: str
) -> None:
    """A blocked accept has taken its descriptor's number while all lower ones were in use."""
    server = await start(variant)
    for _ in range(2):
        with ExitStack() as clients:
            for _ in range(80):
                client = clients.enter_context(socket.socket())
                client.connect(("127.0.0.1", server.spec.port))
                await asyncio.sleep(0)
            if variant != "blocking":
                await until(lambda: server.tally.turned_away > 0, "the bound is reached")
        await until(lambda: server.tally.open == 0 and server.waiting == 0, "all have left")
        before = server.tally.turned_away
        async with await Client.to(server.spec.port) as later:
            await later.ask(b"quit\n", server.variant.wire.prefix + b"quit\n")
        assert server.tally.turned_away == before


def test_with_too_few_for_any_server_it_says_so_at_the_start() -> None:
    command = f"ulimit -n 64; exec {ECHODECK} serve --port 0 --state :memory:"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, "may have 64 open files" in done.stderr, "ulimit -n" in done.stderr) == (1, True, True)


def test_with_few_it_says_how_many_and_serves(program: Callable[..., Program]) -> None:
    running = program(command=("sh", "-c", f'ulimit -n 200; exec {ECHODECK} "$@"', "-"))
    assert httpx.post(f"{running.url}/servers", json={"variant": "asyncio", "port": 0}).status_code == 201
    assert "`ulimit -n` is 200" in running.end()


async def test_a_server_too_many_is_refused(few_descriptors: None, supervisor: Supervisor, start: Start) -> None:
    with pytest.raises(OutOfDescriptors):
        for _ in range(200):
            await start("asyncio")
    assert len(supervisor.servers()) > 50


def test_the_soft_limit_is_raised_to_the_hard_one(few_descriptors: None) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert descriptors.raise_limit() == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert descriptors.bound() == hard - descriptors.RESERVE
