"""The supervisor: restarts by policy, ownership, limits, and commands that race."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from pathlib import Path

import pytest

from app.errors import NameTaken, NobodyRunsIt, NotStopped, PortTaken, Refusal, ShuttingDown
from app.supervising.lifecycle import TRANSITIONS, State
from app.supervising.run import Run
from app.supervising.spec import ServerPatch, ServerSpec
from app.supervising.supervisor import Supervisor
from servers import Variant
from tests.conftest import VARIANTS, HandClock, Start
from tests.helpers import PATIENCE, Client, refuses, until

on_the_loop = pytest.mark.parametrize(
    "variant", [v for v in VARIANTS.values() if v.runs_on == "loop"], ids=lambda variant: variant.name
)
in_a_thread = pytest.mark.parametrize(
    "variant", [v for v in VARIANTS.values() if v.runs_on == "thread"], ids=lambda variant: variant.name
)


def patch(**changes: object) -> ServerPatch:
    return ServerPatch.model_validate(changes)


# Where it runs


@on_the_loop
async def test_a_server_is_a_task_of_the_loop(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    assert f"server:{server.name}" in {task.get_name() for task in asyncio.all_tasks()}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("server:")]


@in_a_thread
async def test_a_blocking_server_has_a_thread_of_its_own_which_a_task_awaits(start: Start, variant: Variant) -> None:
    server = await start(variant.name)
    assert server.task == f"server:{server.name}"
    assert server.task in {task.get_name() for task in asyncio.all_tasks()}
    await until(lambda: server.task in {t.name for t in threading.enumerate() if t.daemon}, "its thread runs")


async def test_many_blocking_servers_run_at_once(start: Start) -> None:
    servers = [await start("blocking") for _ in range(64)]
    for server in servers:
        async with await Client.to(server.spec.port) as client:
            await client.ask(b"quit\n", b"quit\n")


async def test_tasks_that_a_variant_creates_bear_its_name(start: Start) -> None:
    server = await start("asyncio-basic")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        assert f"server:{server.name}/echo" in {task.get_name() for task in asyncio.all_tasks()}


async def test_an_error_in_a_forgotten_task_is_counted(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = await start("asyncio-basic")
    client = await Client.to(server.spec.port)
    await client.ask(b"x", b"x")
    await client.reset()
    await until(lambda: server.exceptions == 1, "the reset shows")
    assert "never retrieved" in caplog.text
    assert server.state is State.RUNNING


async def test_the_app_goes_on_while_a_busy_loop_burns(supervisor: Supervisor, start: Start) -> None:
    await start("nonblocking")
    server = await start("asyncio")
    async with await Client.to(server.spec.port) as client:
        for _ in range(100):
            await client.ask(b"x", b"x")


# Restarts


async def crash(server: object) -> None:
    run: Run = server._run  # type: ignore[attr-defined]
    run.listener.shutdown(socket.SHUT_RDWR)
    await until(lambda: server._run is not run, "it ends")  # type: ignore[attr-defined]


async def test_a_crashed_server_runs_again_on_its_port_after_the_delay(start: Start, clock: HandClock) -> None:
    server = await start("asyncio")
    port = server.spec.port
    await crash(server)
    assert (server.state, server.desired, await refuses(port)) == (State.BACKOFF, "running", True)
    await until(lambda: clock.sleepers, "the retry sleeps")
    clock.turn(0.49)
    assert server.state is State.BACKOFF
    clock.turn(0.07)
    await until(lambda: server.state is State.RUNNING, "it runs again")
    assert server.restarts == 1
    async with await Client.to(port) as client:
        await client.ask(b"x", b"x")


async def test_the_sixth_crash_within_a_minute_is_the_last(start: Start, clock: HandClock) -> None:
    server = await start("blocking")
    for attempt in range(1, 6):
        await crash(server)
        await until(lambda: clock.sleepers, "the retry sleeps")
        clock.turn(10)
        await until(lambda count=attempt: (server.state, server.restarts) == (State.RUNNING, count), "it runs again")
    await crash(server)
    assert (server.state, server.restarts, server.task) == (State.FAILED, 5, None)


@pytest.mark.parametrize(
    ("policy", "state", "desired"),
    [("never", State.EXITED, "stopped"), ("on-failure", State.EXITED, "stopped"), ("always", State.BACKOFF, "running")],
)
async def test_an_end_in_peace(start: Start, clock: HandClock, policy: str, state: State, desired: str) -> None:
    server = await start("accept-once", restart=policy)
    async with await Client.to(server.spec.port) as client:
        await client.rest()
    await until(lambda: server.state is state, f"it is {state}")
    assert server.desired == desired


async def test_port_0_is_no_port_that_the_kernel_gives_to_clients(start: Start) -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for _ in range(20):
        assert not first <= (await start("asyncio")).spec.port <= last


async def test_a_port_that_was_lost_meanwhile_is_a_crash(start: Start, clock: HandClock) -> None:
    server = await start("asyncio")
    await crash(server)
    with socket.create_server(("127.0.0.1", server.spec.port)):
        await until(lambda: clock.sleepers, "the retry sleeps")
        clock.turn(1)
        await until(lambda: server.state is State.BACKOFF and server.restarts == 1, "it fails to listen")
        assert server.exit is not None
        assert "taken by a program outside" in server.exit.message
    await until(lambda: clock.sleepers, "the retry sleeps")
    clock.turn(2)
    await until(lambda: server.state is State.RUNNING, "it runs again")


async def test_a_stop_during_backoff_ends_in_stopped(supervisor: Supervisor, start: Start, clock: HandClock) -> None:
    server = await start("asyncio")
    await crash(server)
    await supervisor.stop(server.name)
    clock.turn(100)
    await asyncio.sleep(0)
    assert (server.state, server.desired) == (State.STOPPED, "stopped")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("retry:")]


async def test_a_start_during_backoff_does_not_wait(supervisor: Supervisor, start: Start, clock: HandClock) -> None:
    server = await start("asyncio")
    await crash(server)
    await supervisor.start(server.name)
    assert (server.state, server.restarts) == (State.RUNNING, 0)


async def test_a_policy_changed_to_never_ends_the_backoff(
    supervisor: Supervisor, start: Start, clock: HandClock
) -> None:
    server = await start("asyncio")
    await crash(server)
    await supervisor.change(server.name, patch(restart="never"))
    assert (server.state, server.desired) == (State.STOPPED, "stopped")


async def test_what_ended_in_peace_leaves_the_backoff_with_the_policy_that_wanted_it(
    supervisor: Supervisor, start: Start, clock: HandClock
) -> None:
    server = await start("accept-once", restart="always")
    async with await Client.to(server.spec.port) as client:
        await client.rest()
    await until(lambda: server.state is State.BACKOFF, "it waits")
    await supervisor.change(server.name, patch(restart="on-failure"))
    assert (server.state, server.desired) == (State.STOPPED, "stopped")


# Limits


async def test_clients_beyond_max_connections_are_closed_and_those_inside_go_on(start: Start) -> None:
    server = await start("asyncio", max_connections=1)
    async with await Client.to(server.spec.port) as first:
        await first.ask(b"x", b"x")
        async with await Client.to(server.spec.port) as second:
            assert await second.rest() == b""
        await first.ask(b"y", b"y")
    assert (server.tally.total, server.tally.peak, server.tally.turned_away) == (1, 1, 1)


@pytest.mark.parametrize("name", ["blocking", "asyncio", "selectors", "nonblocking"])
async def test_an_idle_client_is_hung_up(start: Start, name: str) -> None:
    server = await start(name, idle_timeout=0.05)
    async with await Client.to(server.spec.port) as client:
        assert await client.rest() == b""
    await until(lambda: server.tally.open == 0, "it is gone")
    assert server.state is State.RUNNING


async def test_limits_change_for_clients_that_are_there(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio", recv_size=2)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        changes = {"recv_size": 3, "nodelay": False, "backlog": 7, "max_connections": 5, "idle_timeout": 0.05}
        await supervisor.change(server.name, patch(**changes))
        run = server._run
        assert run is not None
        for sock in (run.listener, *(client.connection for client in run.clients.all())):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert server.spec.model_dump() | changes == server.spec.model_dump()
        assert run._options.recv_size == 3
        assert await client.rest() == b""  # the new idle timeout


@pytest.mark.parametrize("nodelay", [True, False])
async def test_nodelay_reaches_the_clients(start: Start, nodelay: bool) -> None:
    server = await start("asyncio", nodelay=nodelay)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        assert server._run is not None
        (client_inside,) = server._run.clients.all()
        assert client_inside.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == nodelay


async def test_bytes_are_counted_exactly_over_all_runs(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    for run in (1, 2):
        async with await Client.to(server.spec.port) as client:
            await client.ask(b"x" * 100_000, b"x" * 100_000)
            assert server.traffic.bytes_in == server.traffic.bytes_out == run * 100_000
        await supervisor.restart(server.name)
    assert (server.tally.total, server.tally.open, server.tally.peak) == (2, 0, 1)
    assert server.traffic.bytes_in == server.traffic.bytes_out == 200_000


# Names and ports


async def test_a_refused_server_does_not_exist(supervisor: Supervisor, start: Start) -> None:
    first = await start("asyncio")
    with pytest.raises(PortTaken, match=first.name) as refusal:
        await start("selectors", first.spec.port)
    assert refusal.value.extra["holder"] == first.name
    assert supervisor.servers() == [first]


async def test_a_port_on_all_addresses_is_held_by_whoever_listens_on_one(supervisor: Supervisor, start: Start) -> None:
    first = await start("asyncio")
    assert supervisor._holder_of("0.0.0.0", first.spec.port).server == first.name
    assert supervisor._holder_of("127.0.0.2", first.spec.port).server is None


async def test_two_that_want_one_name_at_once(supervisor: Supervisor, start: Start) -> None:
    results = await asyncio.gather(*(start("asyncio", name="me") for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NameTaken"] * 4 + ["Server"]
    assert len(supervisor.servers()) == 1


async def test_a_patch_that_moves_a_running_server_changes_nothing(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    before = server.spec
    with pytest.raises(NotStopped):
        await supervisor.change(server.name, patch(port=1234, backlog=5))
    assert server.spec == before
    await supervisor.change(server.name, patch(port=before.port, backlog=5))
    assert server.spec.backlog == 5


async def test_a_stopped_server_moves(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    await supervisor.stop(server.name)
    await supervisor.change(server.name, patch(variant="selectors", host="::1"))
    await supervisor.start(server.name)
    async with await Client.to(server.spec.port, "::1") as client:
        await client.ask(b"x", b"You Got x")


async def test_nothing_starts_while_the_app_ends(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    supervisor.announce_end()
    with pytest.raises(ShuttingDown):
        await start("asyncio")
    with pytest.raises(ShuttingDown):
        await supervisor.restart(server.name)
    await supervisor.stop_all()
    with pytest.raises(ShuttingDown):
        await supervisor.start(server.name)
    assert (server.state, server.desired) == (State.STOPPED, "running")


# Races


async def test_one_server_that_stops_slowly_delays_no_other(supervisor: Supervisor, start: Start) -> None:
    slow, other = await start("blocking"), await start("blocking")
    async with await Client.to(slow.spec.port):
        await until(lambda: slow.tally.open == 1, "the client is accepted")
        drain = asyncio.create_task(supervisor.stop(slow.name, drain=3600))
        await until(lambda: slow.state is State.STOPPING, "the drain begins")
        async with asyncio.timeout(PATIENCE):
            await supervisor.restart(other.name)
        assert not drain.done()
    await drain


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
@pytest.mark.parametrize("seed", range(3))
async def test_fifty_commands_at_once_end_in_a_state_that_the_table_allows(
    supervisor: Supervisor, start: Start, variant: Variant, seed: int
) -> None:
    server = await start(variant.name)
    chance = random.Random(seed)
    seen: list[tuple[State, State]] = []
    move = server._move

    def recording(*arguments: object) -> None:
        before = server.state
        move(*arguments)  # type: ignore[arg-type]
        seen.append((before, server.state))

    server._move = recording  # type: ignore[method-assign]
    commands = [
        getattr(supervisor, chance.choice(["start", "stop", "restart"] + ["remove"] * (chance.random() < 0.1)))
        for _ in range(50)
    ]
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*(command(server.name) for command in commands), return_exceptions=True)
    for result in results:
        assert result is None or result is server or isinstance(result, Refusal), result
    assert set(seen) <= {(before, after) for (before, _), after in TRANSITIONS.items()}
    expected = State.RUNNING if server.desired == "running" and not server.removed else State.STOPPED
    assert server.state in {expected, State.EXITED}
    assert (server.name in {s.name for s in supervisor.servers()}) is not server.removed
    await refuses(server.spec.port)


async def test_calls_on_a_name_that_is_being_removed(supervisor: Supervisor, start: Start) -> None:
    server = await start("blocking", name="leaving")
    async with await Client.to(server.spec.port):
        results = await asyncio.gather(
            supervisor.remove("leaving"),
            supervisor.start("leaving"),
            supervisor.remove("leaving"),
            supervisor.change("leaving", patch(backlog=1)),
            start("blocking", name="leaving"),
            return_exceptions=True,
        )
    assert [getattr(result, "status", result) for result in results] == [None, 404, 404, 404, 409]
    assert isinstance(results[-1], NameTaken)
    await start("blocking", name="leaving")


async def test_a_created_server_that_is_not_to_start_listens_nowhere(supervisor: Supervisor) -> None:
    server = await supervisor.create(ServerSpec(variant="asyncio", port=0, start=False))
    assert (server.state, server.desired) == (State.STOPPED, "stopped")
    assert server.spec.port
    assert await refuses(server.spec.port)


@pytest.mark.parametrize("command", ["start", "stop", "restart", "change"])
async def test_who_waits_for_a_server_that_goes_to_another_node_does_nothing_to_it(
    supervisor: Supervisor, start: Start, command: str
) -> None:
    server = await start("asyncio")
    port = server.spec.port
    going = asyncio.create_task(supervisor.release(server.name))
    await asyncio.sleep(0)
    arguments = [patch(max_connections=3)] if command == "change" else []
    with pytest.raises(NobodyRunsIt):
        await getattr(supervisor, command)(server.name, *arguments)
    await going
    assert (server.state, server.spec.max_connections) == (State.STOPPED, None)
    assert await refuses(port)
