"""What Prometheus reads."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from app.web import metrics as module
from tests.conftest import Start
from tests.helpers import PATIENCE, Client, until

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(api: httpx.AsyncClient) -> Figures:
    text = (await api.get("/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figure(figures: Figures, name: str, **labels: str) -> float:
    (found,) = [
        value
        for (of, labelled), value in figures.items()
        if of == f"echodeck_{name}" and labels.items() <= set(labelled)
    ]
    return found


async def test_a_scrape_tells_of_servers_and_their_connections(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    asyncio_server, blocking = await begin("asyncio"), await begin("blocking")
    stopped = await begin("selectors", start=False)
    async with await Client.to(asyncio_server.spec.port) as client:
        await client.send(b"boom\n")
        await client.rest()
    async with (
        await Client.to(asyncio_server.spec.port) as client,
        await Client.to(blocking.spec.port),
        await Client.to(blocking.spec.port),
    ):
        await client.ask(b"x" * 1000, b"x" * 1000)
        await until(lambda: blocking.waiting == 1, "one waits")
        found = await scrape(api)
    name = asyncio_server.name
    assert figure(found, "servers", state="running") == 2
    assert figure(found, "servers", state="stopped") == 1
    assert len([1 for of, _ in found if of == "echodeck_servers"]) == len(State)
    assert figure(found, "connections", server=name, variant="asyncio") == 1
    assert figure(found, "connections_accepted_total", server=name) == 2
    assert figure(found, "received_bytes_total", server=name) == 1005
    assert figure(found, "sent_bytes_total", server=name) == 1000
    assert figure(found, "exceptions_total", server=name) == 1
    assert figure(found, "waiting", server=blocking.name) == 1
    assert figure(found, "restarts_total", server=stopped.name) == 0
    assert figure(found, "loop_share", server=name) >= 0
    assert figure(found, "thread_cpu_seconds_total", server=blocking.name) >= 0
    assert figure(found, "app_loop_share", of="idle") <= 1
    watched.chronicle.clear_exceptions()
    assert figure(await scrape(api), "exceptions_total", server=name) == 1  # a counter never falls


async def test_lag_is_a_histogram_that_grows(api: httpx.AsyncClient) -> None:
    def count(figures: Figures) -> float:
        return figure(figures, "loop_lag_seconds_count")

    before = count(found := await scrape(api))
    async with asyncio.timeout(PATIENCE):
        while count(found) == before:
            await asyncio.sleep(0.01)
            found = await scrape(api)
    assert figure(found, "loop_lag_seconds_bucket", le="+Inf") == count(found)
    assert ("process_open_fds", frozenset()) in found


async def test_openmetrics_is_spoken_to_those_who_prefer_it(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    answer = await api.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(answer.text)}
    assert families.keys() >= {"echodeck_servers", "echodeck_exceptions"}
    plain = await api.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    of_server = {
        (family.name, family.type, sample.name, sample.value)
        for family in text_string_to_metric_families(plain.text)
        for sample in family.samples
        if sample.labels.get("server") == server.name and "share" not in sample.name
    }
    assert len(of_server) > 5
    assert of_server == {
        (family.name, family.type, sample.name, sample.value)
        for family in families.values()
        for sample in family.samples
        if sample.labels.get("server") == server.name and "share" not in sample.name
    }


async def test_many_connections_are_looked_at_once_a_while_and_the_loop_turns_meanwhile(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_ONE_GO", 1)
    server = await begin("asyncio")
    clients = [await Client.to(server.spec.port) for _ in range(10)]
    await until(lambda: server.tally.open == 10, "all are in")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await scrape(api)
    turning.cancel()
    assert turns > 10
    for client in clients:
        await client.close()
