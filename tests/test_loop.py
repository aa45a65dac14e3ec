"""Which server has the loop: shares, lag, stalls and tasks."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.loop import sampler as module
from app.loop import tasks
from app.loop.sampler import Sampler, Stall
from app.loop.shares import Sample, divide
from app.shapes.loop import LoopNow
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor
from app.web.figures import NOTHING
from tests.conftest import Program, Start
from tests.helpers import PATIENCE, Client, until


async def loop_of(api: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get("/loop")).json()
    return found


async def spins(listener: socket.socket, options: object) -> None:
    while True:
        await asyncio.sleep(0)


async def sleeps(listener: socket.socket, options: object) -> None:
    """Blocks the loop, and uses no processor meanwhile."""
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.close()
        time.sleep(0.3)


def computes(listener: socket.socket, options: object) -> None:
    listener.settimeout(0)
    while True:
        try:
            listener.accept()
        except BlockingIOError:
            sum(range(1000))


@pytest.mark.parametrize("variant", ["nonblocking", spins])
async def test_a_loop_that_never_rests_is_named(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start, variant: Any
) -> None:
    quiet = await begin("selectors")
    burner = await begin(variant)
    share: dict[str, float] = {}
    async with asyncio.timeout(PATIENCE):
        while share.get(burner.name, 0) <= 0.5:
            await asyncio.sleep(0.02)
            share = (await loop_of(api))["share"]
    assert share[burner.name] == max(share.values())
    assert share[quiet.name] == 0
    assert sum(share.values()) == pytest.approx(1, abs=0.01)
    shown = (await api.get(f"/servers/{burner.name}")).json()["loop_share"]
    assert shown == pytest.approx(share[burner.name], abs=0.3)


async def test_an_idle_loop_is_idle(api: httpx.AsyncClient, watched: Supervisor, begin: Start) -> None:
    names = [(await begin(variant)).name for variant in ("selectors", "asyncio", "asyncio-basic")]
    sampled = len(watched.sampler._samples)
    await until(lambda: len(watched.sampler._samples) > sampled + 5, "the loop was sampled")
    await until(lambda: watched.sampler.shares()["idle"] > 0.5, "it is idle")
    share = (await loop_of(api))["share"]
    assert share["idle"] > 0.5
    assert [share[name] < 0.2 for name in names] == [True] * 3


async def test_work_is_booked_to_the_server_that_does_it(api: httpx.AsyncClient, begin: Start) -> None:
    busy, quiet = await begin("asyncio"), await begin("asyncio")
    writes = 0
    async with await Client.to(busy.spec.port) as client, await Client.to(quiet.spec.port) as other:
        await other.ask(b"x", b"x")
        until_then = time.monotonic() + 1.5
        while time.monotonic() < until_then:
            await client.ask(b"x" * 1000, b"x" * 1000)
            writes += 1
    share = (await loop_of(api))["share"]
    assert share[busy.name] > 3 * share[quiet.name]
    assert share["app"] > 0  # the client of this test lives on the same loop


async def test_a_thread_that_computes_is_booked_by_its_clock(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    server = await begin(computes)
    await until(lambda: watched.sampler.thread_shares().get(server.name, 0) > 0.05, "it is booked")
    await until(lambda: (server.cpu_seconds or 0) > 0.3, "its clock goes on")
    found = await loop_of(api)
    assert found["threads"][server.name] > 0  # how much, depends on who else wants a processor
    shown = (await api.get(f"/servers/{server.name}")).json()
    assert (shown["loop_share"], shown["cpu_seconds"] > 0.3) == (None, True)


async def test_threads_that_a_variant_starts_are_booked_to_it(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("threads")
    async with await Client.to(server.spec.port) as client:
        for _ in range(2000):
            await client.ask(b"x", b"x")
        assert len(server.threads) == 2
        during = server.cpu_seconds
    await until(lambda: len(server.threads) == 1, "the client's thread ends")
    after = server.cpu_seconds
    assert during is not None
    assert after is not None
    assert 0 < during <= after


def stalled(watched: Supervisor, server: Server) -> bool:
    return any(stall.server == server.name for stall in watched.sampler.stalls)


async def test_a_stall_is_recorded_with_the_stack_that_blocks(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    server = await begin(sleeps)
    async with await Client.to(server.spec.port):
        await until(lambda: stalled(watched, server), "the stall is recorded")
    found = await loop_of(api)
    (stall,) = [one for one in found["stalls"] if one["server"] == server.name]
    assert 0.1 < stall["seconds"] < 2
    assert stall["over"] is True
    assert stall["stack"][-1]["function"] == "sleeps"
    assert stall["stack"][-1]["code"] == "time.sleep(0.3)"
    assert stall["stack"][-1]["file"] == __file__
    assert found["stalled"] >= 1
    assert found["lag_ms"]["max"] > 100
    assert found["share"][server.name] > 0.1


async def holds_the_interpreter(listener: socket.socket, options: object) -> None:
    """One call that no signal's handler interrupts."""
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.close()
        sum(range(20_000_000))


async def test_a_stall_in_one_call_of_c_is_recorded(api: httpx.AsyncClient, watched: Supervisor, begin: Start) -> None:
    server = await begin(holds_the_interpreter)
    # Of a process that was kept from the processor nothing is said, and on a busy machine this one may have been.
    async with asyncio.timeout(PATIENCE):
        while not stalled(watched, server):
            async with await Client.to(server.spec.port) as client:
                await client.rest()
    stall, *_ = [one for one in (await loop_of(api))["stalls"] if one["server"] == server.name]
    assert stall["seconds"] > 0.1
    assert stall["stack"][-1]["function"] == "holds_the_interpreter"


async def test_lag_is_told_in_percentiles(api: httpx.AsyncClient, watched: Supervisor) -> None:
    await until(lambda: len(watched.sampler._lags) > 3, "there are a few lags")
    lag = (await loop_of(api))["lag_ms"]
    assert set(lag) == {"p50", "p99", "max"}
    assert 0 < lag["p50"] <= lag["p99"] <= lag["max"] < 1000 * PATIENCE


def test_stalls_are_bounded() -> None:
    sampler = Sampler()
    for _ in range(1000):
        sampler.stalls.append(Stall(module.datetime.now(module.UTC), 1.0, None, []))
    assert len(sampler.stalls) == module.MOST_STALLS


async def test_a_sampler_that_fails_is_off_and_nothing_else_is(
    api: httpx.AsyncClient,
    watched: Supervisor,
    begin: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> Any:
        raise ValueError("the sampler is ill")

    server = await begin("asyncio")
    monkeypatch.setattr(module, "owner_at", fails)
    await until(lambda: "no longer observed" in caplog.text, "it gives up")
    assert not watched.sampler.works
    assert (await api.get(f"/servers/{server.name}")).json()["loop_share"] is None
    assert (await api.get("/loop")).json()["share"] == {}
    assert "echodeck_app_loop_share{" not in (await api.get("/metrics")).text
    page = (await api.get("/ui/loop")).text
    assert f'id="loop-busy">{NOTHING}<' in page
    assert page.count(f"<b>{NOTHING}</b>") == 2  # of the app and of idle
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")


async def test_names_that_have_a_share_of_their_own_are_not_for_servers(api: httpx.AsyncClient) -> None:
    for name in ("app", "idle"):
        answer = await api.post("/servers", json={"variant": "asyncio", "port": 0, "name": name})
        assert (answer.status_code, answer.json()["field"]) == (422, "name")


async def test_on_uvloop_the_burner_is_named_too(program: Any) -> None:
    running: Program = program("--loop", "uvloop")
    made = httpx.post(f"{running.url}/servers", json={"variant": "nonblocking", "port": 0}).json()

    def share() -> float:
        return float(httpx.get(f"{running.url}/loop").json()["share"].get(made["name"], 0))

    async with asyncio.timeout(PATIENCE):
        while share() <= 0.5:
            await asyncio.sleep(0.1)  # the app has the loop whenever it is asked


# Tasks


async def test_tasks_are_told_with_where_they_are(api: httpx.AsyncClient, begin: Start) -> None:
    servers = {variant: await begin(variant) for variant in ("asyncio", "blocking", "threads")}
    async with (
        await Client.to(servers["asyncio"].spec.port) as client,
        await Client.to(servers["blocking"].spec.port),
        await Client.to(servers["threads"].spec.port) as threaded,
    ):
        await client.ask(b"x", b"x")
        await threaded.ask(b"x", b"x")
        await until(lambda: len(servers["blocking"].clients) == 1, "it is accepted")
        items: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = (await api.get("/loop/tasks", params={"limit": 3} | ({"after": after} if after else {}))).json()
            items += page["items"]
            after = page["next"]
            if after is None:
                break

    def of(server: str) -> list[dict[str, Any]]:
        return [item for item in items if item["server"] == servers[server].name]

    serve, echo = of("asyncio")
    assert (serve["name"], serve["thread"]) == (f"server:{servers['asyncio'].name}", False)
    assert [place["function"] for place in serve["stack"]][-2:] == ["serve", "sock_accept"]
    assert (echo["name"], echo["coroutine"]) == (f"server:{servers['asyncio'].name}/echo", "echo")
    assert "sock_recv" in echo["stack"][0]["code"]
    (blocked,) = of("blocking")
    assert (blocked["thread"], blocked["stack"][-1]["code"]) == (True, "data = connection.recv(options.recv_size)")
    assert [place["function"] for place in blocked["stack"]] == ["serve", "answer"]
    assert [item["stack"][-1]["function"] for item in of("threads")] == ["serve", "echo"]
    assert [item["name"] for item in items] == sorted(item["name"] for item in items)
    assert any(item["server"] is None for item in items)


async def test_the_tasks_of_one_server(api: httpx.AsyncClient, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    async with await Client.to(one.spec.port) as client, await Client.to(other.spec.port) as unasked:
        await client.ask(b"x", b"x")
        await unasked.ask(b"x", b"x")
        items = (await api.get("/loop/tasks", params={"server": one.name})).json()["items"]
    assert [item["name"] for item in items] == [f"server:{one.name}", f"server:{one.name}/echo"]
    assert (await api.get("/loop/tasks?server=nobody")).status_code == 404


# Lines


def line_of(server: Server, text: str) -> int:
    return next(at for at, line in enumerate(server.variant.source.splitlines(), 1) if text in line)


async def test_the_lines_at_which_a_server_is(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    clients = [await Client.to(server.spec.port) for _ in range(3)]
    for client in clients:
        await client.ask(b"x", b"x")
    found = (await api.get("/loop/lines", params={"server": server.name})).json()
    assert found == {
        "items": [
            {"line": line_of(server, "await loop.sock_recv"), "function": "echo", "tasks": 3, "threads": 0},
            {"line": line_of(server, "await loop.sock_accept"), "function": "serve", "tasks": 1, "threads": 0},
        ],
        "seen": 4,
        "of": 4,
    }
    for client in clients:
        await client.close()
    await watched_stop(api, server)
    assert (await api.get("/loop/lines", params={"server": server.name})).json() == {"items": [], "seen": 0, "of": 0}


async def test_a_task_is_at_its_innermost_call_in_the_variants_file(api: httpx.AsyncClient, begin: Start) -> None:
    async def waits() -> None:
        await asyncio.sleep(60)  # here it is

    async def serve(listener: socket.socket, options: object) -> None:
        await waits()

    server = await begin(serve)
    while not (found := (await api.get("/loop/lines", params={"server": server.name})).json()["items"]):
        await asyncio.sleep(0)
    lines = Path(__file__).read_text().splitlines()
    assert [(lines[one["line"] - 1].strip(), one["function"]) for one in found] == [
        ("await asyncio.sleep(60)  # here it is", "waits")
    ]


async def test_the_line_at_which_a_thread_blocks(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port):
        await until(lambda: len(server.clients) == 1, "it is accepted")
        deadline = time.monotonic() + PATIENCE
        line = line_of(server, "connection.recv")
        while True:
            (found,) = (await api.get("/loop/lines", params={"server": server.name})).json()["items"]
            if found["line"] == line or time.monotonic() > deadline:
                break
    assert found == {"line": line, "function": "answer", "tasks": 0, "threads": 1}


async def test_of_very_many_tasks_some_are_looked_at(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MOST_LOOKED_AT", 2)
    server = await begin("asyncio")
    clients = [await Client.to(server.spec.port) for _ in range(3)]
    for client in clients:
        await client.ask(b"x", b"x")
    found = (await api.get("/loop/lines", params={"server": server.name})).json()
    assert (found["seen"], found["of"]) == (2, 4)
    assert sum(item["tasks"] for item in found["items"]) == 2
    for client in clients:
        await client.close()


async def watched_stop(api: httpx.AsyncClient, server: Server) -> None:
    assert (await api.post(f"/servers/{server.name}/stop")).status_code == 200


@pytest.mark.parametrize(("query", "status"), [("", 422), ("?server=nobody", 404), ("?server=x&limit=3", 422)])
async def test_lines_of_no_server(api: httpx.AsyncClient, query: str, status: int) -> None:
    assert (await api.get(f"/loop/lines{query}")).status_code == status


@pytest.mark.parametrize("query", ["limit=0", "after=bogus"])
async def test_bad_queries_for_tasks_are_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.get(f"/loop/tasks?{query}")).status_code == 422


@pytest.mark.parametrize(
    ("samples", "shares"),
    [
        ([("idle", 0.0), ("idle", 0.0)], {"app": 0, "idle": 1}),
        ([("one", 1.0), ("two", 1.0)], {"app": 0, "idle": 0, "one": 0.5, "two": 0.5}),
        ([("one", 0.0), ("idle", 0.0)], {"app": 0, "idle": 0.5, "one": 0.5}),  # it sleeps, and has the loop
        (
            [("one", 1.0), ("idle", 1.0)],
            {"app": 0, "idle": 0, "one": 1},
        ),  # sampled only as it waits, and works all the time
        ([("idle", 1.0), ("idle", 1.0)], {"app": 1, "idle": 0}),
        ([("idle", 0.5), ("one", 0.5)], {"app": 0, "idle": 0.5, "one": 0.5}),
        ([], {"app": 0, "idle": 1}),
    ],
)
def test_time_is_divided_by_samples_and_by_the_processors_clock(
    samples: list[tuple[str, float]], shares: dict[str, float]
) -> None:
    now = time.monotonic()
    assert divide([Sample(now, owner, 0.01, 0.01 * used) for owner, used in samples], now) == pytest.approx(shares)


def test_the_feed_has_only_shares_that_are_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampler, "shares", lambda sampler: {"app": 0.0, "one": 0.5, "other": 0.00001, "idle": 0.5})
    now = LoopNow.of(Sampler())
    assert now.share == {"one": 0.5, "idle": 0.5}
    assert (now.threads, now.stalled, now.lag_ms.max) == ({}, 0, 0)
