"""The feed: a snapshot and the changes after it, exactly, for whoever follows and however he follows."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app import backlog, protocol, streams
from app import feed as feed_module
from app.feed import TOPICS, Event, Feed, Wanted
from app.protocol import BoundedHttp
from app.settings import Settings
from app.shapes.connections import ConnectionShape
from app.supervisor import Supervisor
from app.view import Change, View
from tests.conftest import Start
from tests.helpers import PATIENCE, Client, until

State = dict[str, dict[str, Any]]

KINDS = {topic: kind for topic, kind in TOPICS.items() if topic != "loop"}


# The view


def apply(state: dict[str, str], changes: list[Change]) -> None:
    for change in changes:
        if change.data is None:
            del state[change.key]  # it was there
        else:
            state[change.key] = change.data


@pytest.mark.parametrize("seed", range(20))
def test_whoever_hears_every_change_knows_everything(seed: int) -> None:
    chance = random.Random(seed)
    view = View(most_gone=10_000)
    followers: list[tuple[int, dict[str, str]]] = [(0, {})]
    for step in range(300):
        key = str(chance.randrange(20))
        if chance.random() < 0.3:
            view.drop("thing", key)
        else:
            view.put("thing", key, None, str(chance.randrange(3)))
        truth = {change.key: change.data for change in view.all()}
        if chance.random() < 0.1:
            followers.append((view.latest, dict(truth)))  # type: ignore[arg-type]
        for at, (heard, state) in enumerate(followers):
            if chance.random() < 0.2 or step == 299:
                changes = view.since(heard)
                assert changes is not None
                assert all(change.number > heard for change in changes)
                assert len({change.key for change in changes}) == len(changes)  # each but once
                gone = [change for change in changes if change.data is None and change.key not in state]
                apply(state, [change for change in changes if change not in gone])
                assert state == truth
                followers[at] = (view.latest, state)


def test_what_did_not_change_is_no_change() -> None:
    view = View()
    view.put("thing", "a", None, "1")
    view.put("thing", "a", None, "1")
    view.drop("thing", "b")
    assert (view.latest, view.keys("thing")) == (1, {"a"})


def test_whoever_heard_too_little_or_of_the_future_must_begin_anew() -> None:
    view = View(most_gone=2)
    for number in range(5):
        view.put("thing", str(number), None, "")
    assert view.since(6) is None
    assert view.since(5) == []
    for number in range(3):
        view.drop("thing", str(number))  # 6, 7, 8; of these, the first is forgotten
    assert view.since(5) is None
    assert [change.number for change in view.since(6) or []] == [7, 8]
    view.keep("thing", 1)
    assert view.since(6) is None


# Following


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

        monkeypatch.setattr(watched.chronicle, "shown", never)
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
    read = backlog.read

    def slowly(ports: Any) -> Any:
        time.sleep(0.3)
        return read(ports)

    server = await begin("blocking")
    async with following(feed) as follower:
        async with await Client.to(server.spec.port):
            monkeypatch.setattr(backlog, "read", slowly)
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
            assert time.monotonic() - began < 5
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


# As Server-Sent Events, over HTTP


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app behind a real socket; yields its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = uvicorn.Config(app, http=BoundedHttp, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([sock]))
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def read_events(lines: AsyncIterator[str], count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE):
        async for line in lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                found.append(fields)
                fields = {}
                if len(found) == count:
                    break
            else:
                fields = {}
    return found


async def test_the_stream_is_server_sent_events_and_goes_on_where_it_was(app: FastAPI, begin: Start) -> None:
    async with served(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        async with http.stream("GET", "/events") as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["cache-control"] == "no-store"
            (snapshot,) = await read_events(stream.aiter_lines(), 1)
            assert (snapshot["event"], json.loads(snapshot["data"])["servers"]) == ("snapshot", [])
        server = await begin("asyncio")
        for query, headers in (("", {"last-event-id": snapshot["id"]}), (f"?heard={snapshot['id']}", {})):
            async with http.stream("GET", f"/events{query}", headers=headers) as stream:
                events = await read_events(stream.aiter_lines(), 3)
                assert "snapshot" not in {event["event"] for event in events}
                assert server.name in {json.loads(event["data"]).get("name") for event in events}
        async with http.stream("GET", "/events?topics=servers") as stream:
            (snapshot,) = await read_events(stream.aiter_lines(), 1)
            assert list(json.loads(snapshot["data"])) == ["servers"]
        head = await http.head("/events")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    await until(lambda: app.state.streams.open == 0 and app.state.feed.followers == 0, "all are let go")


@pytest.mark.parametrize(
    ("query", "status"), [("topics=servers,weather", 422), ("topics=", 422), ("server=nobody", 404)]
)
async def test_what_cannot_be_followed_is_refused(api: httpx.AsyncClient, query: str, status: int) -> None:
    assert (await api.get(f"/events?{query}")).status_code == status


@pytest.mark.parametrize("settings", [Settings(state=":memory:", streams=2)])
async def test_no_more_streams_than_the_setting_allows(app: FastAPI, settings: Settings) -> None:
    async with (
        served(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        http.stream("GET", "/events") as one,
    ):
        first = one.aiter_lines()  # held: without it, the stream is closed
        await read_events(first, 1)
        async with http.stream("GET", "/events") as two:
            second = two.aiter_lines()
            await read_events(second, 1)
            refused = await http.get("/events")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-streams")
            assert refused.json()["limit"] == 2
        await until(lambda: app.state.streams.open == 1, "the second is let go")
        async with http.stream("GET", "/events") as again:
            assert again.status_code == 200


async def test_a_reader_who_takes_nothing_is_dropped_and_told_why(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "SECONDS_TO_TAKE", 0.2)
    monkeypatch.setattr(protocol, "SECONDS_FOR_LAST_WORDS", 1.0)
    for number in range(100):
        app.state.supervisor.chronicle.note("somebody", "x" * 900 + str(number))
    async with served(app) as port:
        for reads_on in (True, False):
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(slow, ("127.0.0.1", port))
                await loop.sock_sendall(slow, b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                dropped = app.state.streams.dropped
                until_full = asyncio.create_task(chatter(app.state.supervisor))
                await until(lambda: app.state.streams.dropped == dropped + 1, "he is dropped")  # noqa: B023
                until_full.cancel()
                await until(lambda: app.state.streams.open == 0, "nothing is kept for him")
                if reads_on:
                    received = b""
                    async with asyncio.timeout(PATIENCE):
                        while data := await loop.sock_recv(slow, 65536):
                            received += data
                    assert b'event: dropped\ndata: {"reason":"nothing was taken for 0.2 s"}\n\n' in received
                    assert received.endswith(b"\r\n0\r\n\r\n")
                else:
                    await until(lambda: not [t for t in asyncio.all_tasks() if "run_asgi" in str(t)], "it is over")
    assert "dropped a reader of /events" in caplog.text


async def chatter(supervisor: Supervisor) -> None:
    while True:
        for number in range(100):
            supervisor.chronicle.note("somebody", "x" * 900 + str(number))
        await asyncio.sleep(0.05)
