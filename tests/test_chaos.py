"""Random tasks of servers are cancelled, random threads interrupted, random sockets taken from under them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import socket
import time
from contextlib import suppress

import pytest

from app.loop.ownership import owner_of
from app.supervising.lifecycle import State
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor
from tests.conftest import VARIANTS, Start
from tests.helpers import Client, until


def cancel_a_task(chance: random.Random) -> None:
    if tasks := [task for task in asyncio.all_tasks() if owner_of(task)]:
        chance.choice(tasks).cancel()


def interrupt_a_thread(chance: random.Random, servers: list[Server]) -> None:
    threads = [thread for server in servers for thread in server.threads if thread.ident]
    if threads:
        raised = ctypes.py_object(chance.choice([SystemExit, KeyboardInterrupt, RuntimeError, MemoryError]))
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(chance.choice(threads).ident or 0), raised)


def take_a_socket_away(chance: random.Random, servers: list[Server]) -> None:
    """Another, which is connected to nothing, gets its number; to close the number would hit whoever gets it next."""
    runs = [server._run for server in servers if server._run is not None]
    sockets = [run.listener for run in runs] + [one.connection for run in runs for one in run.clients.all()]
    if sockets:
        with socket.socket() as dead, suppress(OSError):
            os.dup2(dead.fileno(), chance.choice(sockets).fileno(), inheritable=False)


async def visit(port: int, chance: random.Random) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, AssertionError):
        async with asyncio.timeout(2):
            client = await Client.to(port)
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await client.send(chance.choice([b"hello\n", b"quit\n", b"boom\n", b"x" * 100_000]))
                await asyncio.sleep(chance.random() / 5)
            await client.close()


@pytest.mark.parametrize("seconds", [5.0, pytest.param(60.0, marks=pytest.mark.slow)])
async def test_after_chaos_everything_serves_and_the_counts_are_exact(
    supervisor: Supervisor, start: Start, seconds: float
) -> None:
    chance = random.Random(7)  # an interrupt is by chance all the same: what it hits depends on the moment
    servers = [await start(name, restart="always", name=name) for name in VARIANTS]
    visits: set[asyncio.Task[None]] = set()
    deadline = time.monotonic() + seconds
    blows = 0
    while time.monotonic() < deadline:
        chance.choice(
            [
                lambda: cancel_a_task(chance),
                lambda: interrupt_a_thread(chance, servers),
                lambda: take_a_socket_away(chance, servers),
            ]
        )()
        blows += 1
        for _ in range(3):
            visits.add(asyncio.create_task(visit(chance.choice(servers).spec.port, chance)))
        visits -= {task for task in visits if task.done()}
        await asyncio.sleep(0.05)
        if blows % 50 == 0:
            for server in servers:  # some may have given up, as it is right after so many crashes
                if server.state is State.FAILED:
                    await supervisor.start(server.name)
    await asyncio.wait(visits)
    for server in servers:
        async with asyncio.timeout(10):
            await supervisor.restart(server.name)
        before = server.tally.total
        async with await Client.to(server.spec.port) as client:
            wire = server.variant.wire
            if wire.answers != "nothing":
                await client.ask(b"quit\n", wire.prefix + b"quit\n")
        await until(lambda now=server, then=before: now.tally.total == then + 1, "it is counted once")  # type: ignore[misc]
        await supervisor.stop(server.name)
        assert server.state is State.STOPPED
        assert (server.tally.open, server.clients, server.threads, server.tasks) == (0, [], [], [])
    assert len(supervisor.roster) == 0
    assert [task for task in asyncio.all_tasks() if owner_of(task)] == []
