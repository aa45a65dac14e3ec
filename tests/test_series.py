"""What is remembered of each second and each minute: rings, minutes out of seconds, the state file, REST."""

from __future__ import annotations

import asyncio
import math
import zlib
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.history.schema import Minutes
from app.history.series import LOOP, MINUTES, OF_SERVER, SECONDS, NoMinutes, Ring, Series, SeriesBook
from app.history.store import Store
from app.supervising.listening import Policy
from app.supervising.supervisor import Supervisor
from app.watching.recorder import Recorder
from tests.conftest import Start
from tests.helpers import Client, until


def told(ring: Ring, last: int, most: int = 1000) -> list[float | None]:
    return [None if math.isnan(value) else value for value in ring.rows(last, most)]


def filled(*steps: int, size: int = 5) -> Ring:
    ring = Ring(size, 1)
    for step in steps:
        ring.put(step, array("f", [step]))
    return ring


def row(**figures: float) -> array[float]:
    return array("f", [figures.get(name, 0) for name in OF_SERVER])


@pytest.mark.parametrize(
    ("steps", "last", "found"),
    [
        ((), 9, []),
        ((3,), 3, [3]),
        ((3, 4), 4, [3, 4]),
        ((3, 6), 6, [3, None, None, 6]),
        ((1, 2, 3, 4, 5, 6, 7), 7, [3, 4, 5, 6, 7]),
        ((1, 2, 3, 4, 5, 6, 8), 8, [4, 5, 6, None, 8]),
        ((1, 2, 30), 30, [30]),
        ((1, 2), 4, [1, 2, None, None]),
        ((1, 2, 3, 4, 5), 8, [4, 5, None, None, None]),
        ((1, 2), 100, [None] * 5),
        ((1, 2, 3), 2, [1, 2]),
        ((5, 4, 5, 6), 6, [5, 6]),
    ],
)
def test_a_ring_has_the_latest_steps_and_says_which_are_missing(
    steps: tuple[int, ...], last: int, found: list[float | None]
) -> None:
    assert told(filled(*steps), last) == found


def test_of_a_ring_the_latest_few() -> None:
    assert told(filled(1, 2, 3, 4), 4, 2) == [3, 4]


def test_a_minute_is_made_of_its_seconds() -> None:
    series = Series(OF_SERVER)
    for second in range(60, 120):
        if second % 2:
            series.seconds.put(
                second, row(bytes_in=100, open=second % 7, waiting=1, share=0.25 if second < 90 else 0.75, exceptions=1)
            )
    series.fold(1)
    series.fold(2)  # of which nothing was seen
    assert series.columns(60, 2, 10) == {
        "bytes_in": [3000, None],
        "bytes_out": [0, None],
        "open": [6, None],
        "waiting": [1, None],
        "share": [0.5, None],
        "exceptions": [30, None],
    }


def test_what_is_kept_of_a_server_is_bounded() -> None:
    series = Series(OF_SERVER)
    for step in range(2 * MINUTES):
        series.seconds.put(step, row())
        series.minutes.put(step, row())
    columns = series.columns(1, 2 * MINUTES - 1, 10_000)
    assert {len(values) for values in columns.values()} == {SECONDS}
    assert sum(len(ring.rows(2 * MINUTES, 10_000)) * 4 for ring in (series.seconds, series.minutes)) < 64 * 1024


def test_an_hour_goes_to_the_state_file_and_comes_back() -> None:
    series, again = Series(OF_SERVER), Series(OF_SERVER)
    for minute in (61, 62, 70):
        series.minutes.put(minute, row(bytes_in=minute))
    again.take_hour(1, series.hour(1))
    assert again.columns(60, 70, 20) == series.columns(60, 70, 20)


@pytest.mark.parametrize("packed", [b"", b"noise", zlib.compress(b"\0" * 28)])
def test_an_hour_that_is_none(packed: bytes) -> None:
    with pytest.raises(NoMinutes):
        Series(OF_SERVER).take_hour(1, packed)


def test_a_book_leaves_out_what_is_too_old_to_come_or_broken() -> None:
    book = SeriesBook(Store(None))
    hour, series = book.second // 3600, Series(OF_SERVER)
    for one in (hour - 25, hour - 1, hour + 1):
        series.minutes = Ring(MINUTES, len(OF_SERVER))
        series.minutes.put(one * 60, row(bytes_in=7))
        book.remember([Minutes("old", one, one, series.hour(one))])
    book.remember([Minutes("broken", 1, hour, b"?")])
    last = book.second // 60
    assert any(book.of("old", hour - 1).columns(60, last, MINUTES)["bytes_in"])
    for name, serial in (("old", hour - 25), ("old", hour + 1), ("broken", 1)):
        assert not any(book.of(name, serial).columns(60, last, MINUTES)["bytes_in"])
        book.of(name, serial).minutes.put(last, row(bytes_in=1))  # what comes has not been told already
        assert book.of(name, serial).columns(60, last, 1)["bytes_in"] == [1]


def test_what_has_nothing_of_the_last_day_is_let_go() -> None:
    book = SeriesBook(Store(None))
    minute = book.second // 60
    old, young = book.of("old", 1), book.of("young", 2)
    old.minutes.put(minute - MINUTES - 1, row())
    young.minutes.put(minute - MINUTES + 1, row())
    book.save(minute)
    assert (book.of("old", 1) is old, book.of("young", 2) is young) == (False, True)


async def test_a_server_that_has_rested_for_long_is_seen_again(
    supervisor: Supervisor, start: Start, recorder: Recorder
) -> None:
    server = await start("asyncio", name="mine")
    await recorder.look(100)
    await server.stop()
    await recorder.look(101)
    supervisor.series.save(100 + 2 * MINUTES)
    await server.start()
    await recorder.look(102 + 2 * MINUTES * 60)
    assert columns(supervisor, "mine", 102 + 2 * MINUTES * 60)["open"] == [0]


# With servers


@pytest.fixture
def recorder(supervisor: Supervisor) -> Recorder:
    return Recorder(supervisor)


def columns(supervisor: Supervisor, name: str, last: int) -> dict[str, list[float | None]]:
    server = supervisor.server(name)
    return supervisor.series.of(name, server.serial).columns(1, last, SECONDS)


async def test_a_second_has_what_went_who_was_there_and_what_went_wrong(
    supervisor: Supervisor, start: Start, recorder: Recorder
) -> None:
    server = await start("asyncio", name="mine")
    await recorder.look(100)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hello\n", b"hello\n")
        await recorder.look(101)
        await recorder.look(102)
        await client.send(b"boom\n")
        await until(lambda: not server.tally.open, "it has gone")
    await recorder.look(103)
    found = columns(supervisor, "mine", 103)
    assert found["bytes_in"] == [0, 6, 0, 5]
    assert found["bytes_out"] == [0, 6, 0, 0]
    assert found["open"] == [0, 1, 1, 0]
    assert found["exceptions"] == [0, 0, 0, 1]
    of_all = supervisor.series.of(*LOOP).columns(1, 103, 4)
    assert [of_all[name] for name in ("bytes_in", "open", "exceptions")] == [[0, 6, 0, 5], [0, 1, 1, 0], [0, 0, 0, 1]]


async def test_seconds_in_which_nothing_changed_are_there_too(
    supervisor: Supervisor, start: Start, recorder: Recorder
) -> None:
    server = await start("asyncio", name="mine")
    for second in range(100, 106):
        await recorder.look(second)
    assert columns(supervisor, "mine", 105)["open"] == [0] * 6
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hello\n", b"hello\n")
        await recorder.look(106)
    assert columns(supervisor, "mine", 106)["bytes_in"] == [0] * 6 + [6]


async def test_who_comes_to_a_queue_while_nothing_else_happens_is_seen_in_four_seconds(
    supervisor: Supervisor, start: Start, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start("asyncio", name="mine")
    for second in range(100, 104):
        await recorder.look(second)
    monkeypatch.setattr(type(server), "waiting", property(lambda self: 3))
    for second in range(104, 108):
        await recorder.look(second)
    assert 3 in columns(supervisor, "mine", 107)["waiting"]


async def test_who_waits_is_seen(supervisor: Supervisor, start: Start, recorder: Recorder) -> None:
    server = await start("blocking", name="mine")
    async with await Client.to(server.spec.port), await Client.to(server.spec.port):
        await until(lambda: server.waiting == 1 and server.tally.open == 1, "one is inside, one waits")
        await recorder.look(100)
    found = columns(supervisor, "mine", 100)
    assert (found["waiting"], found["open"]) == ([1], [1])


async def test_of_a_server_that_rests_nothing_is_seen_but_what_it_did_before(
    supervisor: Supervisor, start: Start, recorder: Recorder
) -> None:
    server = await start("asyncio", name="mine")
    await recorder.look(100)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hello\n", b"hello\n")
    await server.stop()
    await recorder.look(101)
    await recorder.look(102)
    await server.start()
    await recorder.look(103)
    assert columns(supervisor, "mine", 103)["bytes_in"] == [0, 6, None, 0]


async def test_of_very_many_connections_all_have_their_turn(
    supervisor: Supervisor, start: Start, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.watching.recorder.MOST_ASKED", 4)
    monkeypatch.setattr("app.watching.recorder.MOST_LIVELY", 2)
    server = await start("asyncio", name="mine")
    clients = [await Client.to(server.spec.port) for _ in range(10)]
    for client in clients:
        await client.ask(b"x", b"x")
    for second in range(100, 110):
        await recorder.look(second)
    for client in clients:
        await client.close()
    assert sum(value or 0 for value in (columns(supervisor, "mine", 110))["bytes_in"]) == 10


async def test_minutes_outlast_the_app(tmp_path: Path) -> None:
    async def life(serial: int | None) -> tuple[int, list[float | None]]:
        supervisor = Supervisor({}, Policy(range(1024, 65536), beyond_loopback=False), Store(tmp_path / "state.db"))
        await supervisor.open()
        recorder = Recorder(supervisor)
        recorder.start()
        minute = supervisor.series.second // 60 - 1
        found = supervisor.series.of("mine", 1).columns(60, minute, 3)["bytes_in"]
        if serial is not None:
            supervisor.series.of("mine", serial).minutes.put(minute, row(bytes_in=42))
        await recorder.close()
        await supervisor.close()
        return minute, found

    await life(1)
    _, found = await life(None)
    assert 42 in found
    await life(None)  # and saves it no worse
    assert 42 in (await life(None))[1]


# REST


async def test_the_series_of_a_server(api: httpx.AsyncClient) -> None:
    await api.post("/servers", json={"variant": "asyncio", "name": "mine", "port": 0})
    await asyncio.sleep(1.2)
    before = datetime.now(UTC)
    found = (await api.get("/servers/mine/series")).raise_for_status().json()
    assert set(found) == {"every", "until", *OF_SERVER}
    assert found["every"] == 1.0
    assert abs(datetime.fromisoformat(found["until"]) - before) < timedelta(seconds=3)
    assert len({len(found[name]) for name in OF_SERVER}) == 1
    assert len(found["open"]) >= 1
    assert (await api.get("/servers/mine/series?every=60&last=5")).raise_for_status().json()["every"] == 60.0


async def test_without_servers_it_rests_and_no_second_is_missing(
    api: httpx.AsyncClient, watched: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = [watched.series.second], Recorder.look

    async def counted(recorder: Recorder, second: int) -> None:
        looks.append(second)
        await look(recorder, second)

    async def newest(name: str, count: int) -> list[float | None]:
        found: list[float | None] = (await api.get(f"/loop/series?last={count}")).json()[name]
        return found

    monkeypatch.setattr(Recorder, "look", counted)
    await until(lambda: watched.series.second > looks[-1] + 3, "it rests")
    assert await newest("open", 3) == [0, 0, 0]
    await api.post("/servers", json={"variant": "asyncio", "name": "mine", "port": 0})
    created = watched.series.second
    await until(lambda: looks[-1] > created + 1, "it looks again, each second")
    assert looks[-3:] == [looks[-1] - 2, looks[-1] - 1, looks[-1]] or looks[-3] < created
    assert None not in await newest("open", 5)


async def test_the_series_of_the_loop(api: httpx.AsyncClient) -> None:
    await api.post("/servers", json={"variant": "nonblocking", "name": "burns", "port": 0})
    await asyncio.sleep(2.2)
    found = (await api.get("/loop/series?last=2")).raise_for_status().json()
    length = len(found["open"])
    assert 1 <= length <= 2
    for values in (found["bytes_in"], found["stalled"], *found["lag_ms"].values(), *found["share"].values()):
        assert len(values) == length
    assert {"app", "idle", "burns"} <= found["share"].keys()
    assert found["share"]["burns"][-1] > 0.2


@pytest.mark.parametrize("query", ["every=2", "every=x", "last=0", "last=100000", "evry=1"])
@pytest.mark.parametrize("path", ["/loop/series", "/servers/mine/series"])
async def test_bad_questions_are_told_what_is_wrong(api: httpx.AsyncClient, path: str, query: str) -> None:
    await api.post("/servers", json={"variant": "asyncio", "name": "mine", "port": 0})
    assert (await api.get(f"{path}?{query}")).status_code == 422


async def test_there_is_no_series_of_nobody(api: httpx.AsyncClient) -> None:
    assert (await api.get("/servers/nobody/series")).status_code == 404
