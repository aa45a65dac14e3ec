"""The feed: a snapshot and the changes after it, exactly, for whoever follows and however he follows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.kernel import accept_queue
from app.shapes.connections import ConnectionShape
from app.supervising.supervisor import Supervisor
from app.watching import feed as feed_module
from app.watching.event import Event
from app.watching.feed import TOPICS, Feed, Wanted
from tests.conftest import Start
from tests.helpers import PATIENCE, Client, until

State = dict[str, dict[str, Any]]

KINDS = {topic: kind for topic, kind in TOPICS.items() if topic != "loop"}


class Follower:
    """Knows what it was told, and nothing else."""

    def __init__(self, feed: Feed, last: str | None = None, wanted: Wanted | None = None) -> None:
        self.state: State = {kind: {} for kind in KINDS.values()}
        self.events: list[Event] = []
        self.batches = feed.follow(last, wanted)

    async def hear(self) -> list[Event]:
        async with asyncio.timeout(PATIENCE):
            batch = await anext(self.batches)
        for event in batch:
            self.events.append(event)
            self.take(event)
        return batch

    def take(self, event: Event) -> None:
        data = json.loads(event.data)
        if event.name == "snapshot":
            self.state = {
                kind: {one.get("name" if kind == "server" else "id"): one for one in data.get(topic, [])}
                for topic, kind in KINDS.items()
            }
        elif event.name.endswith("-removed"):
            kind = event.name.removesuffix("-removed")
            self.state[kind].pop(data["name" if kind == "server" else "id"], None)
        elif event.name in self.state:
            self.state[event.name][data["name" if event.name == "server" else "id"]] = data

    async def hear_until(self, holds: Any, what: str) -> None:
        while not holds(self.state):
            try:
                await self.hear()
            except TimeoutError:
                raise AssertionError(f"never heard that {what}: {self.state}") from None

    @property
    def last(self) -> str:
        found = self.events[-1].id
        assert found is not None
        return found


@asynccontextmanager
async def following(feed: Feed, last: str | None = None, wanted: Wanted | None = None) -> AsyncIterator[Follower]:
    follower = Follower(feed, last, wanted)
    async with aclosing(follower.batches):
        await follower.hear()
        yield follower


@pytest.fixture
def feed(app: FastAPI, watched: Supervisor) -> Feed:
    found: Feed = app.state.feed
    return found


async def test_a_snapshot_comes_first_and_is_as_rest_has_it(api: httpx.AsyncClient, feed: Feed, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port), await Client.to(server.spec.port):
        await until(lambda: server.waiting == 1 and server.tally.open == 1, "one is in, one waits")
        async with following(feed) as follower:
            assert [event.name for event in follower.events] == ["snapshot"]
            assert set(json.loads(follower.events[0].data)) == set(TOPICS)
            (told,) = follower.state["server"].values()
            assert set(told) == set((await api.get(f"/servers/{server.name}")).json())
            rows = {row["id"]: row for row in (await api.get("/connections")).json()["items"]}
            assert set(rows) == set(follower.state["connection"])
            for id, row in follower.state["connection"].items():
                assert set(row) == set(ConnectionShape.model_fields)
                assert {**row, "idle": 0} == {**rows[id], "idle": 0}
            assert list(follower.state["journal"].values()) == (await api.get("/journal")).json()["items"][::-1]


async def test_everything_that_happens_is_told(feed: Feed, watched: Supervisor, begin: Start) -> None:
    async with following(feed) as follower:
        server = await begin("asyncio")
        await follower.hear_until(lambda state: server.name in state["server"], "there is a server")
        async with await Client.to(server.spec.port) as client:
            await follower.hear_until(lambda state: len(state["connection"]) == 1, "somebody came")
            await client.ask(b"hello", b"hello")
            await follower.hear_until(
                lambda state: [row["bytes_in"] for row in state["connection"].values()] == [5], "bytes came"
            )
            await follower.hear_until(lambda state: state["server"][server.name]["bytes_out"] == 5, "bytes went")
            await client.send(b"boom\n")
            await follower.hear_until(
                lambda state: [one["input"] for one in state["exception"].values()] == [r"b'boom\n'"], "it failed"
            )
            await follower.hear_until(lambda state: not state["connection"], "he left")
        watched.chronicle.clear_exceptions()
        await follower.hear_until(lambda state: not state["exception"], "it is forgotten")
        await watched.stop(server.name)
        await follower.hear_until(lambda state: state["server"][server.name]["state"] == "stopped", "it stopped")
        await watched.remove(server.name)
        await follower.hear_until(lambda state: not state["server"], "it is gone")
        assert [entry["what"] for entry in follower.state["journal"].values()][-1] == "was removed"


async def test_a_waiting_client_becomes_an_open_one_under_its_id(feed: Feed, watched: Supervisor, begin: Start) -> None:
    server = await begin("blocking")
    async with await Client.to(server.spec.port), await Client.to(server.spec.port), following(feed) as follower:

        def states(state: State) -> list[str]:
            return sorted(row["state"] for row in state["connection"].values())

        await follower.hear_until(lambda state: states(state) == ["open", "waiting"], "one waits")
        ids = {row["state"]: id for id, row in follower.state["connection"].items()}
        await watched.connections.hang_up(ids["open"])
        await follower.hear_until(
            lambda state: {id: row["state"] for id, row in state["connection"].items()} == {ids["waiting"]: "open"},
            "the second is let in",
        )


async def test_whoever_comes_back_at_any_point_misses_nothing_and_hears_nothing_twice(
    feed: Feed, watched: Supervisor, begin: Start
) -> None:
    async with following(feed) as follower:
        one, other = await begin("asyncio"), await begin("blocking")
        clients = [await Client.to(server.spec.port) for server in (one, other, other)]
        await follower.hear_until(lambda state: len(state["connection"]) == 3, "three came")
        await clients[0].ask(b"x" * 1000, b"x" * 1000)
        await follower.hear()
        await clients[0].send(b"boom\n")
        await follower.hear_until(lambda state: state["exception"], "it failed")
        await watched.stop(one.name)
        await watched.remove(one.name)
        third = await begin("selectors")
        await clients[1].close()
        await follower.hear_until(lambda state: third.name in state["server"] and one.name not in state["server"], "so")
        for client in clients:
            await client.close()
        await follower.hear_until(lambda state: not state["connection"], "all have left")
        states: list[State] = []
        again = Follower(feed)
        for event in follower.events:
            again.take(event)
            states.append(json.loads(json.dumps(again.state)))
        await again.batches.aclose()
        # From each event on, as one who heard it and then lost the connection:
        for event, known in zip(follower.events, states, strict=True):
            assert event.id is not None
            back = Follower(feed, event.id)
            back.state = json.loads(json.dumps(known))
            async with aclosing(back.batches):
                if event.id != follower.last:
                    batch = await back.hear()
                    numbers = [int(str(heard.id).partition("-")[2]) for heard in batch]
                    assert numbers == sorted(set(numbers))
                    assert numbers[0] > int(event.id.partition("-")[2])
                    assert "snapshot" not in {heard.name for heard in batch}
                assert without_moving(back.state) == without_moving(follower.state)


def without_moving(state: State) -> State:
    """The shares of the loop change all the time, and servers are told anew because of them."""
    return {
        kind: {key: {**one, "loop_share": 0, "cpu_seconds": 0} for key, one in things.items()}
        for kind, things in state.items()
    }


async def test_one_who_comes_back_after_everybody_left_hears_what_happened_meanwhile(
    feed: Feed, watched: Supervisor, begin: Start
) -> None:
    server = await begin("asyncio")
    async with await Client.to(server.spec.port), following(feed) as follower:
        await follower.hear_until(lambda state: state["connection"], "somebody is in")
        last, known = follower.last, follower.state
    await until(lambda: not server.clients, "he left")
    other = await begin("asyncio")
    assert feed.followers == 0
    async with following(feed, last) as back:
        assert back.events[0].name != "snapshot"
        back.state = known
        for event in back.events:
            back.take(event)
        await back.hear_until(lambda state: not state["connection"] and other.name in state["server"], "so it is")


async def test_leaving_in_the_midst_of_a_look_loses_nothing(
    feed: Feed, watched: Supervisor, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await begin("asyncio")
    async with following(feed) as follower:
        known, last = follower.state, follower.last
        writing = asyncio.Event()

        async def never() -> None:
            writing.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(watched.chronicle, "flushed", never)
        watched.chronicle.note(server.name, "said something")
        await watched.stop(server.name)
        await writing.wait()
    monkeypatch.undo()
    async with following(feed, last) as back:
        assert back.events[0].name != "snapshot"
        back.state = known
        for event in back.events:
            back.take(event)
        assert back.state["server"][server.name]["state"] == "stopped"
        assert "said something" in {entry["what"] for entry in back.state["journal"].values()}


@pytest.mark.parametrize("last", ["", "nonsense", "00000000-1", "1", "x" * 10_000, "{life}-99999999", "{life}--1"])
async def test_an_event_that_was_never_told_leads_to_a_snapshot(feed: Feed, watched: Supervisor, last: str) -> None:
    async with following(feed, last.replace("{life}", feed._life)) as follower:
        assert follower.events[0].name == "snapshot"


async def test_one_who_was_away_too_long_gets_a_snapshot(
    feed: Feed, watched: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "REMEMBERED", 0.0)
    async with following(feed) as follower:
        last = follower.last
    await until(lambda: feed._life not in last, "the view is forgotten")
    async with following(feed, last) as back:
        assert back.events[0].name == "snapshot"


async def test_without_followers_nothing_is_done(feed: Feed, watched: Supervisor, begin: Start) -> None:
    async with following(feed):
        assert watched.roster.news is not None
    server = await begin("asyncio")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
        assert watched.roster.news is None
        assert "feed" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_slow_look_at_the_queues_does_not_blind_the_feed_for_long(
    feed: Feed, watched: Supervisor, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = accept_queue.read

    def slowly(ports: Any) -> Any:
        time.sleep(0.6)
        return read(ports)

    server = await begin("blocking")
    async with following(feed) as follower:
        async with await Client.to(server.spec.port):
            monkeypatch.setattr(accept_queue, "read", slowly)
            async with await Client.to(server.spec.port):
                await follower.hear_until(lambda state: len(state["connection"]) == 2, "one waits")
                monkeypatch.undo()
            began = time.monotonic()
            async with await Client.to(server.spec.port) as third:
                port = third.socket.getsockname()[1]
                await follower.hear_until(
                    lambda state: any(row["peer"].endswith(f":{port}") for row in state["connection"].values()),
                    "another waits",
                )
            assert (
                time.monotonic() - began < 12
            )  # and not 20: the next look is after a multiple of what the last one took
        await follower.hear_until(lambda state: not state["connection"], "all have left")


async def test_topics_and_a_server_narrow_it_down(feed: Feed, watched: Supervisor, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    wanted = Wanted(frozenset({"server", "connection"}), one.name)
    async with following(feed, wanted=wanted) as follower:
        assert set(json.loads(follower.events[0].data)) == {"servers", "connections"}
        assert set(follower.state["server"]) == {one.name}
        async with await Client.to(other.spec.port), await Client.to(one.spec.port):
            await follower.hear_until(lambda state: len(state["connection"]) == 1, "somebody came to the one")
        assert {row["server"] for row in follower.state["connection"].values()} == {one.name}
        assert {event.name for event in follower.events} <= {"snapshot", "server", "connection", "connection-removed"}


async def test_what_is_wanted_from_everywhere_is_not_narrowed(feed: Feed, watched: Supervisor, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    wanted = Wanted(frozenset({"server", "connection"}), one.name, frozenset({"server"}))
    async with following(feed, wanted=wanted) as follower:
        assert set(follower.state["server"]) == {one.name, other.name}
        async with await Client.to(other.spec.port):
            await follower.hear_until(lambda state: state["server"][other.name]["connections"]["open"], "it is counted")
            async with await Client.to(one.spec.port):
                await follower.hear_until(lambda state: state["connection"], "somebody came to the one")
        assert {row["server"] for row in follower.state["connection"].values()} == {one.name}


async def test_what_changed_meanwhile_can_be_told_together(feed: Feed, watched: Supervisor, begin: Start) -> None:
    async with following(feed, wanted=Wanted()) as apart, aclosing(feed.follow(wanted=Wanted(together=True))) as joined:
        ((snapshot,),) = [await anext(joined)]
        assert snapshot.name == "snapshot"
        server = await begin("asyncio")
        async with await Client.to(server.spec.port), await Client.to(server.spec.port):
            await apart.hear_until(lambda state: len(state["connection"]) == 2, "both have come")
            (event,) = await anext(joined)
        one_by_one = {(one.name, one.data) for one in apart.events}
        told = json.loads(event.data)
        assert event.name == "changes"
        assert {"server", "connection", "journal"} <= {name for name, _ in told}
        assert event.id in {one.id for one in apart.events}
        assert [data["server"] for name, data in told if name == "connection"] == [server.name] * 2
        assert {name for name, _ in told} <= {name for name, _ in one_by_one}


@pytest.mark.parametrize("query", ["topics=nothing", "everywhere=nothing", "everywhere="])
async def test_topics_that_there_are_not_are_refused(api: httpx.AsyncClient, query: str) -> None:
    answer = await api.get(f"/events?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, query.partition("=")[0])


async def test_a_follower_that_hears_late_hears_the_latest_only(feed: Feed, watched: Supervisor, begin: Start) -> None:
    async with following(feed) as late, following(feed) as prompt:
        server = await begin("asyncio")
        for _ in range(5):
            async with await Client.to(server.spec.port):
                await prompt.hear_until(lambda state: state["connection"], "somebody came")
            await prompt.hear_until(lambda state: not state["connection"], "he left")
        batch = await late.hear()
        names = [(event.name, json.loads(event.data).get("id")) for event in batch]
        assert len([name for name, _ in names if name == "server"]) == 1
        assert len(set(names)) == len(names)


async def test_the_journal_and_exceptions_of_a_snapshot_are_bounded(
    feed: Feed, watched: Supervisor, begin: Start
) -> None:
    for number in range(500):
        watched.chronicle.note("somebody", f"said {number}")
    async with following(feed) as follower:
        assert [one["what"] for one in follower.state["journal"].values()] == [f"said {n}" for n in range(400, 500)]
        heard = follower.last
        for number in range(500, 800):
            watched.chronicle.note("somebody", f"said {number}")
        await follower.hear_until(lambda state: "800" in state["journal"], "more was said")
    async with following(feed, heard) as back:  # more was said meanwhile than is remembered
        assert back.events[0].name == "snapshot"
