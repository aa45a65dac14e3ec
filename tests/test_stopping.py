"""A stop always ends, whatever the variant and its clients are doing, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import inspect
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import Interrupted
from app.history.store import Store
from app.supervising.lifecycle import State
from app.supervising.listening import Policy
from app.supervising.spec import ServerPatch, ServerSpec
from app.supervising.supervisor import Supervisor
from servers import Variant, Wire
from tests.conftest import VARIANTS, Start
from tests.helpers import PATIENCE, Client, refuses, until

every = pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)


async def stop_in_time(supervisor: Supervisor, name: str, drain: float = 0.0) -> None:
    async with asyncio.timeout(PATIENCE):
        server = await supervisor.stop(name, drain)
    assert server.state is State.STOPPED
    assert server.task is None
    assert server.tally.open == 0


@every
async def test_while_it_waits_for_a_client(supervisor: Supervisor, start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    await stop_in_time(supervisor, server.name)
    assert server.exit is not None
    assert server.exit.reason == "stopped"
    assert await refuses(server.spec.port)


def give_its_descriptor_away(listener: socket.socket) -> None:
    with socket.socket() as other:
        os.dup2(other.fileno(), listener.fileno(), inheritable=False)


def close_it(listener: socket.socket) -> None:
    listener.close()


@every
@pytest.mark.parametrize("drain", [0.0, 5.0])
@pytest.mark.parametrize("lose", [give_its_descriptor_away, close_it])
async def test_when_the_listener_is_lost_the_port_is_not(
    supervisor: Supervisor,
    start: Start,
    variant: Variant,
    lose: Callable[[socket.socket], None],
    drain: float,
) -> None:
    server = await start(variant.name)
    await asyncio.sleep(0.1)  # a thread is blocked in its accept by now
    assert server._run is not None
    lose(server._run.listener)
    await stop_in_time(supervisor, server.name, drain)
    assert server.tally.turned_away == 0
    await supervisor.start(server.name)
    async with await Client.to(server.spec.port):
        await until(lambda: server.tally.total == 1, "somebody is let in again")


@every
async def test_while_a_client_is_silent(supervisor: Supervisor, start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    async with await Client.to(server.spec.port) as client:
        await until(lambda: server.tally.total == 1, "the client is accepted")
        await stop_in_time(supervisor, server.name)
        assert await client.rest() == b""
    assert server.exceptions == 0


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS.values() if v.wire.answers != "nothing"], ids=lambda variant: variant.name
)
async def test_while_a_client_never_reads(supervisor: Supervisor, start: Start, variant: Variant) -> None:
    server = await start(variant.name, max_buffer=67_108_864)
    async with await Client.to(server.spec.port) as client:
        client.writer.transport.pause_reading()
        client.writer.write(b"x" * 30_000_000 + b"quit\n")
        await until(lambda: server.traffic.bytes_out > 100_000, "it sends into a full pipe")
        await stop_in_time(supervisor, server.name)
    assert server.exit is not None
    assert server.exit.reason == "stopped"


@every
async def test_during_a_storm_of_connections(supervisor: Supervisor, start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    port = server.spec.port
    over = threading.Event()

    def storm() -> None:
        while not over.is_set():
            with suppress(OSError), socket.socket() as client:
                client.settimeout(PATIENCE)
                client.connect(("127.0.0.1", port))
                client.send(b"hello")

    storms = [threading.Thread(target=storm) for _ in range(4)]
    for thread in storms:
        thread.start()
    try:
        await until(lambda: server.tally.total >= (1 if variant.wire.clients != "all at once" else 50), "clients come")
        await stop_in_time(supervisor, server.name)
        assert await refuses(port)
    finally:
        over.set()
        for thread in storms:
            await asyncio.to_thread(thread.join)


async def test_while_it_is_starting(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await supervisor.create(ServerSpec(variant="asyncio", port=0, start=False))
    asked, gone = threading.Event(), threading.Event()

    def slow_resolver(*arguments: object, **options: object) -> list[object]:
        asked.set()
        gone.wait(PATIENCE)
        return []

    server.spec = server.spec.model_copy(update={"host": "slow.example"})
    numeric = socket.getaddrinfo

    def resolve(host: str, *arguments: object, **options: object) -> object:
        return (slow_resolver if host == "slow.example" and not options.get("flags") else numeric)(
            host, *arguments, **options
        )  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    starting = asyncio.create_task(supervisor.start(server.name))
    await until(asked.is_set, "the name is looked up")
    assert server.state is State.STARTING
    await stop_in_time(supervisor, server.name)
    with pytest.raises(Interrupted):
        await starting
    gone.set()


class Left:
    """What a process holds: threads, descriptors, tasks."""

    def __init__(self) -> None:
        gc.collect()
        self.threads = {thread.name for thread in threading.enumerate()}
        self.descriptors = len(list(Path("/proc/self/fd").iterdir()))
        self.tasks = {task.get_name() for task in asyncio.all_tasks()}


@every
@pytest.mark.parametrize("rounds", [31, pytest.param(201, marks=pytest.mark.slow)])
async def test_rounds_leave_nothing_behind(supervisor: Supervisor, start: Start, variant: Variant, rounds: int) -> None:
    server = await start(variant.name, restart="never")
    before = None
    for _ in range(rounds):
        async with await Client.to(server.spec.port) as client:
            await until(lambda: server.tally.open or server.state is not State.RUNNING, "the client is accepted")
            await stop_in_time(supervisor, server.name)
            await client.rest()
        before = before or Left()
        await supervisor.start(server.name)
    await stop_in_time(supervisor, server.name)
    await until(lambda: Left().threads <= before.threads, "the threads end")
    await until(lambda: Left().descriptors <= before.descriptors, "the descriptors are given back")
    assert Left().tasks <= before.tasks


# Draining


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS.values() if v.wire.clients != "one in all"], ids=lambda variant: variant.name
)
async def test_a_drain_lets_clients_finish_and_refuses_new_ones(
    supervisor: Supervisor, start: Start, variant: Variant
) -> None:
    server = await start(variant.name)
    last = b"bye\nquit\n"
    async with await Client.to(server.spec.port) as client:
        await until(lambda: server.tally.open == 1, "the client is accepted")
        stopping = asyncio.create_task(supervisor.stop(server.name, drain=60))
        await until(lambda: server.state is State.STOPPING, "the drain begins")
        assert await refuses(server.spec.port)
        answer = variant.wire.prefix + last
        await client.ask(last, answer)
        assert not stopping.done()
    async with asyncio.timeout(PATIENCE):
        await stopping
    assert server.state is State.STOPPED
    assert server.exceptions == 0


@every
async def test_a_drain_of_nobody_ends_at_once(supervisor: Supervisor, start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    await stop_in_time(supervisor, server.name, drain=3600)


async def test_a_drain_ends_after_its_seconds(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hi", b"hi")
        began = time.monotonic()
        await stop_in_time(supervisor, server.name, drain=0.2)
        assert time.monotonic() - began >= 0.2
        assert await client.rest() == b""


@pytest.mark.parametrize("command", ["stop", "restart", "remove"])
async def test_a_drain_is_cut_short_by_somebody_in_a_hurry(supervisor: Supervisor, start: Start, command: str) -> None:
    server = await start("blocking")
    async with await Client.to(server.spec.port):
        await until(lambda: server.tally.open == 1, "the client is accepted")
        drain = asyncio.create_task(supervisor.stop(server.name, drain=3600))
        await until(lambda: server.state is State.STOPPING, "the drain begins")
        async with asyncio.timeout(PATIENCE):
            await getattr(supervisor, command)(server.name)
            await drain


async def test_a_drain_is_shortened_by_a_shorter_one(supervisor: Supervisor, start: Start) -> None:
    server = await start("blocking")
    async with await Client.to(server.spec.port):
        await until(lambda: server.tally.open == 1, "the client is accepted")
        drain = asyncio.create_task(supervisor.stop(server.name, drain=3600))
        await until(lambda: server.state is State.STOPPING, "the drain begins")
        await supervisor.stop(server.name, drain=0.1)
        assert (await drain).state is State.STOPPED


async def test_during_a_drain_limits_can_change_and_a_start_does_not_wait(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        drain = asyncio.create_task(supervisor.stop(server.name, drain=3600))
        await until(lambda: server.state is State.STOPPING, "the drain begins")
        async with asyncio.timeout(PATIENCE):
            await supervisor.change(server.name, ServerPatch.model_validate({"recv_size": 1}))
            assert (server.state, server.spec.recv_size) == (State.STOPPING, 1)
            await supervisor.start(server.name)
            await drain
    assert server.state is State.RUNNING


async def test_a_busy_loop_is_not_woken_by_a_drained_listener(supervisor: Supervisor, start: Start) -> None:
    server = await start("selectors")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"You Got x")
        drain = asyncio.create_task(supervisor.stop(server.name, drain=3600))
        await until(lambda: server.state is State.STOPPING, "the drain begins")
        before = time.thread_time()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(drain), 0.3)
        assert time.thread_time() - before < 0.1
    await drain


# Variants that do not obey, or break


def variant(serve: object, **traits: object) -> dict[str, object]:
    runs_on = "loop" if inspect.iscoroutinefunction(serve) else "thread"
    made = Variant("made-up", None, "", "", runs_on, Wire(), serve, Path(__file__))  # type: ignore[arg-type]
    return {
        "variants": {"made-up": made},
        "policy": Policy(range(1024, 65536), False),
        "store": Store(None),
        "stop_grace": 0.2,
        **traits,
    }


def sleeps_through_it(listener: socket.socket, options: object) -> None:
    sleeping.wait(PATIENCE)


async def catches_everything(listener: socket.socket, options: object) -> None:
    while not sleeping.is_set():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)


async def leaves_children(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    for _ in range(10):
        asyncio.ensure_future(asyncio.Event().wait())  # noqa: RUF006  # the mistake that is tested
    await asyncio.get_running_loop().sock_accept(listener)
    raise ValueError("after the first client")


async def exits(listener: socket.socket, options: object) -> None:
    raise SystemExit(3)


async def cancels_itself(listener: socket.socket, options: object) -> None:
    raise asyncio.CancelledError


sleeping = threading.Event()


@pytest.mark.parametrize(
    "supervisor", [variant(sleeps_through_it), variant(catches_everything)], indirect=True, ids=["thread", "loop"]
)
async def test_a_server_that_does_not_obey_is_reported(
    supervisor: Supervisor, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sleeping.clear()
    server = await start("made-up")
    await asyncio.sleep(0)
    await stop_in_time(supervisor, server.name)
    assert server.exit is not None
    assert (server.exit.reason, f"server:{server.name}" in server.exit.message) == ("abandoned", True)
    assert "did not stop" in caplog.text
    assert await refuses(server.spec.port)
    sleeping.set()
    await until(lambda: f"server:{server.name}" not in {t.name for t in threading.enumerate()}, "the thread ends")


@pytest.mark.parametrize("supervisor", [variant(leaves_children)], indirect=True)
async def test_a_run_that_crashes_takes_its_forgotten_tasks_along(supervisor: Supervisor, start: Start) -> None:
    server = await start("made-up", restart="never")
    await until(lambda: sum(f"server:{server.name}/" in t.get_name() for t in asyncio.all_tasks()) == 10, "they run")
    async with await Client.to(server.spec.port) as client:
        await client.rest()
    await until(lambda: server.state is State.CRASHED, "it crashes")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("server:")]
    assert server.exceptions == 1


@pytest.mark.parametrize("supervisor", [variant(exits), variant(cancels_itself)], indirect=True)
async def test_a_variant_cannot_end_the_app(supervisor: Supervisor, start: Start) -> None:
    server = await start("made-up", restart="never")
    await until(lambda: server.state is State.CRASHED, "it crashes")


async def test_an_oserror_while_it_runs_is_a_crash(supervisor: Supervisor, start: Start) -> None:
    server = await start("blocking", restart="never")
    run = server._run
    assert run is not None
    run.listener.shutdown(socket.SHUT_RDWR)
    await until(lambda: server.state is State.CRASHED, "accept fails")
    assert server.exit is not None
    assert os.strerror(errno.EINVAL) in server.exit.message
