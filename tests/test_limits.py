"""Limits of servers and of the app: what they do, that they can be changed while running, and how a breach is seen."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.connections.breaches import QUIET, Breaches
from app.settings import Settings
from app.supervising.supervisor import Supervisor
from app.web import guesses as module
from app.web.guesses import MOST_OF_ALL, MOST_OF_ONE, WINDOW, Guesses
from tests.bridged import V1, served
from tests.bridged import Page as Terminal
from tests.conftest import VARIANTS, Start
from tests.helpers import PATIENCE, Client, until

MANY_AT_ONCE = [name for name, variant in VARIANTS.items() if variant.wire.clients == "all at once"]


async def metrics(api: httpx.AsyncClient) -> dict[str, float]:
    lines = (await api.get("/metrics")).text.splitlines()
    return {one.rpartition(" ")[0]: float(one.rpartition(" ")[2]) for one in lines if one[:1] not in "#"}


def notes(watched: Supervisor, name: str) -> list[str]:
    return [
        entry.what for entry in watched.chronicle.entries(server=name) if "away" in entry.what or "hangs" in entry.what
    ]


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))


async def gone(client: socket.socket) -> bool:
    return await asyncio.to_thread(client.recv, 1) == b""


@pytest.mark.parametrize("variant", MANY_AT_ONCE)
async def test_one_address_may_have_so_many(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start, variant: str
) -> None:
    server = await begin(variant, max_per_peer=2)
    port, name = server.spec.port, server.name
    with ExitStack() as held:
        first, second = (held.enter_context(connect(port)) for _ in range(2))
        await until(lambda: server.tally.open == 2, "both are inside")
        for _ in range(3):
            assert await gone(held.enter_context(connect(port)))
        held.enter_context(connect(port, "127.0.0.2"))
        await until(lambda: server.tally.open == 3, "another address has its own")
        first.close()
        await until(lambda: server.tally.open == 2, "one has left")
        held.enter_context(connect(port))
        await until(lambda: server.tally.open == 3, "there is room again")
        assert (await api.patch(f"/servers/{name}", json={"max_per_peer": None})).status_code == 200
        held.enter_context(connect(port))
        await until(lambda: server.tally.open == 4, "there is no bound any more")
        second.close()
    assert notes(watched, name) == ["turns clients of 127.0.0.1 away: one address has as many as max_per_peer allows"]
    labels = f'{{limit="max_per_peer",server="{name}",variant="{variant}"}}'
    assert (await metrics(api))[f"echodeck_limit_breaches_total{labels}"] == 3
    assert (await api.get(f"/servers/{name}")).json()["connections"]["turned_away"] == 3


@pytest.mark.parametrize("variant", ["threads", "asyncio", "asyncio-tuned", "asyncio-streams"])
async def test_the_kernel_paces_what_a_client_is_sent(api: httpx.AsyncClient, begin: Start, variant: str) -> None:
    server = await begin(variant, max_rate=400_000)
    size = 300_000

    async def seconds(client: Client) -> float:
        began = time.monotonic()
        sending = asyncio.create_task(client.send(b"x" * size))
        await client.receive(size)
        await sending
        return time.monotonic() - began

    async with await Client.to(server.spec.port) as client:
        await seconds(client)  # the kernel lets the first go as one
        assert await seconds(client) > 0.2  # 0.75 s but for what is still let go
        await api.patch(f"/servers/{server.name}", json={"max_rate": None})
        async with asyncio.timeout(PATIENCE):
            while await seconds(client) > 0.1:  # what it has learned of the way, it unlearns
                pass
        await api.patch(f"/servers/{server.name}", json={"max_rate": 200_000})
        assert await seconds(client) > 0.4


async def test_who_idles_too_long_is_hung_up_and_that_is_seen(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    server = await begin("asyncio", idle_timeout=0.1)
    with connect(server.spec.port) as one, connect(server.spec.port) as two:
        assert await gone(one)
        assert await gone(two)
    assert notes(watched, server.name) == ["hangs up clients that idled for longer than idle_timeout allows"]
    labels = f'{{limit="idle_timeout",server="{server.name}",variant="asyncio"}}'
    assert (await metrics(api))[f"echodeck_limit_breaches_total{labels}"] == 2


async def test_all_servers_together_have_a_bound(api: httpx.AsyncClient, watched: Supervisor, begin: Start) -> None:
    one, two = await begin("asyncio"), await begin("threads")
    assert (await api.patch("/limits", json={"connections": 3})).json()["connections"] == 3
    with ExitStack() as held:
        for server in (one, two, one):
            held.enter_context(connect(server.spec.port))
        await until(lambda: one.tally.open + two.tally.open == 3, "they are inside")
        assert await gone(held.enter_context(connect(two.spec.port)))
        await api.patch("/limits", json={"connections": None})
        held.enter_context(connect(two.spec.port))
        await until(lambda: two.tally.open == 2, "there is no bound any more")
    assert notes(watched, two.name) == [
        "turns clients away: all servers together have as many as the app's limit allows"
    ]


async def test_streams_and_terminals_have_bounds_that_can_be_changed(
    app: FastAPI, api: httpx.AsyncClient, begin: Start
) -> None:
    server = await begin("asyncio")
    before = (await api.get("/limits")).json()
    assert before == {"connections": None, "streams": 100, "terminals": 1000}
    assert (await api.patch("/limits", json={"terminals": 1})).json() == before | {"terminals": 1}
    async with served(app) as port, Terminal.v1(port, server.name):
        async with Terminal.of(port, server.name, V1) as second:
            assert await second.closed() == 1013
        await api.patch("/limits", json={"terminals": 2})
        async with Terminal.v1(port, server.name):
            pass
    assert (await metrics(api))['echodeck_app_limit_breaches_total{limit="terminals"}'] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"streams": 0},
        {"terminals": -1},
        {"connections": 0},
        {"connections": "many"},
        {"weather": 1},
        {"streams": None},
        [],
        7,
    ],
)
async def test_a_limit_that_is_none_is_refused_and_changes_nothing(api: httpx.AsyncClient, body: Any) -> None:
    before = (await api.get("/limits")).json()
    answer = await api.patch("/limits", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    assert (await api.get("/limits")).json() == before


def test_an_incident_is_told_once() -> None:
    breaches = Breaches()
    assert [breaches.add("max_connections", now) for now in (0.0, 1.0, 50.0, 100.0)] == [True, False, False, False]
    assert breaches.add("idle_timeout", 100.0)
    assert breaches.add("max_connections", 101.0 + QUIET)
    assert breaches.counts == {"max_connections": 5, "idle_timeout": 1}


# Guessed tokens


class Timed:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guess(guesses: Guesses, address: str, count: int, prefix: str = "g") -> int:
    """How many different wrong tokens were looked at."""
    looked = 0
    for number in range(count):
        try:
            guesses.check(address, f"{prefix}{number}")
        except module.TooManyGuesses:
            continue
        guesses.note(address, f"{prefix}{number}", right=False)
        looked += 1
    return looked


def test_only_so_many_guesses_are_looked_at() -> None:
    clock = Timed()
    guesses = Guesses(clock)
    assert guess(guesses, "10.0.0.1", 100) == MOST_OF_ONE
    assert guess(guesses, "10.0.0.2", 3) == 3
    guesses.check("10.0.0.1", "g0")  # it is known to be wrong: to repeat it is no guess
    clock.now += WINDOW + 1
    assert guess(guesses, "10.0.0.1", 100, "h") == MOST_OF_ONE
    assert guesses.refused == 180


def test_who_was_let_in_before_is_let_in_whatever_others_guess_from_there() -> None:
    guesses = Guesses()
    guesses.note("10.0.0.1", "right", right=True)
    guess(guesses, "10.0.0.1", 50)
    guesses.check("10.0.0.1", "right")
    with pytest.raises(module.TooManyGuesses):
        guesses.check("10.0.0.1", "right but never seen")


def test_who_has_a_network_of_addresses_has_one_share() -> None:
    guesses = Guesses()
    assert sum(guess(guesses, f"2001:db8::{number:x}", 1, f"{number}-") for number in range(1, 100)) == MOST_OF_ONE
    assert guess(guesses, "2001:db8:1::1", 1) == 1
    assert guess(guesses, "::ffff:10.0.0.9", 5) == 5
    assert guess(guesses, "10.0.0.9", 100, "h") == MOST_OF_ONE


def test_many_addresses_have_one_bound_together() -> None:
    guesses = Guesses()
    looked = sum(guess(guesses, f"10.0.{number >> 8}.{number & 255}", 1) for number in range(3 * MOST_OF_ALL))
    assert looked == MOST_OF_ALL


GUARDED = pytest.mark.parametrize("settings", [Settings(state=":memory:", token="right-one")])  # type: ignore[arg-type]


@GUARDED
@pytest.mark.parametrize("way", ["bearer", "cookie", "form"])
async def test_guessing_is_refused_by_every_way_in(app: FastAPI, api: httpx.AsyncClient, way: str) -> None:
    async def attempt(token: str, client: str = "10.0.0.1", accept: str = "*/*") -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as one:
            headers = {"accept": accept}
            if way == "bearer":
                return await one.get("/servers", headers=headers | {"authorization": f"Bearer {token}"})
            if way == "cookie":
                return await one.get("/servers", headers=headers | {"cookie": f"echodeck-8000={token}"})
            return await one.post("/login", data={"token": token}, headers=headers)

    codes = [(await attempt(f"guess{number}")).status_code for number in range(15)]
    assert codes == [401] * MOST_OF_ONE + [429] * 5
    refused = await attempt("right-one")
    assert refused.status_code == 429
    if way != "form":
        assert refused.json()["type"] == "/problems/too-many-guesses"
        assert refused.headers["retry-after"] == "60"
    page = await attempt("right-one", accept="text/html")
    assert (page.status_code, "Too many wrong tokens" in page.text, "count-servers" in page.text) == (429, True, False)
    if way != "cookie":
        assert (await attempt("right-one", client="10.0.0.2")).status_code in {200, 303}
    assert (await metrics_with(app))['echodeck_app_limit_breaches_total{limit="guesses"}'] >= 6


async def metrics_with(app: FastAPI) -> dict[str, float]:
    transport = httpx.ASGITransport(app, client=("10.0.0.9", 5))
    headers = {"authorization": "Bearer right-one"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000", headers=headers) as one:
        return await metrics(one)
