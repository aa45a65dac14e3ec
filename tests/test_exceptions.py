"""Exceptions: the four nets, whom they hurt and with what, folded when they repeat."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import blame, store
from app.adoption import _Logged, is_news
from app.exceptions import Details, ExceptionLog
from app.lifecycle import State
from app.main import create_app
from app.settings import Settings
from app.shapes.happenings import ExceptionShape
from app.supervisor import Supervisor
from servers import Connection, Wire
from tests.conftest import Start, made_up
from tests.helpers import Client, until

log = logging.getLogger(__name__)


async def listed(api: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/exceptions", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def one(api: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    """The only exception, once it has these values."""
    for _ in range(1000):
        found = await listed(api)
        if found and wanted.items() <= found[0].items():
            assert len(found) == 1, found
            return found[0]
        await asyncio.sleep(0.005)
    raise AssertionError(f"{wanted} is not {await listed(api)}")


async def say(port: int, *chunks: bytes) -> str:
    """Send these, each after the answer to the one before, and wait for the end; returns who said it."""
    async with await Client.to(port) as client:
        host, own = client.socket.getsockname()
        for chunk in chunks[:-1]:
            await client.ask(chunk, chunk)
        await client.send(chunks[-1])
        await client.rest()
        return f"{host}:{own}"


# Variants that fail, each in its way


async def forgets(listener: socket.socket, options: object) -> None:
    """As asyncio-basic, but fails on purpose."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        asyncio.ensure_future(fails_with(connection))  # noqa: RUF006  # the mistake that is tested


async def fails_with(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        while data := await loop.sock_recv(connection, 100):
            if data.startswith(b"boom"):
                raise ValueError(data.decode())
            await loop.sock_sendall(connection, data)


def starts_threads(listener: socket.socket, options: object) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=fails_in_thread, args=(connection,), name="worker").start()


def fails_in_thread(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(100):
            if data.startswith(b"boom"):
                raise ValueError(data.decode())
            connection.sendall(data)


def logs(listener: socket.socket, options: object) -> None:
    while True:
        connection, _ = listener.accept()
        try:
            fails_in_thread(connection)
        except ValueError:
            log.exception("it failed")


def dies(listener: socket.socket, options: object) -> None:
    connection, _ = listener.accept()
    fails_in_thread(connection)


async def dies_on_the_loop(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    await fails_with(connection)


@pytest.mark.parametrize(
    ("variant", "function", "fatal"),
    [
        (forgets, "fails_with", False),
        (starts_threads, "fails_in_thread", False),
        (logs, "fails_in_thread", False),
        (dies, "fails_in_thread", True),
        (dies_on_the_loop, "fails_with", True),
    ],
)
async def test_each_net_tells_who_was_hurt_and_by_what(
    api: httpx.AsyncClient, begin: Start, variant: Callable[..., Any], function: str, fatal: bool
) -> None:
    server = await begin(variant, restart="never")
    peer = await say(server.spec.port, b"hello", b"boom\n")
    found = await one(api, type="ValueError", fatal=fatal)
    assert set(found) == set(ExceptionShape.model_fields)
    assert (found["server"], found["variant"], found["message"]) == (server.name, "made-up", "boom\n")
    assert (found["peer"], found["connection"], found["input"]) == (peer, "1-1", r"b'boom\n'")
    assert f"in {function}" in found["traceback"]
    assert found["traceback"].startswith("Traceback (most recent call last)")
    assert found["count"] == 1
    assert (await api.get(f"/exceptions/{found['id']}")).json() == found
    state = (await api.get(f"/servers/{server.name}")).json()
    assert (state["exceptions"], state["state"]) == (1, "crashed" if fatal else "running")


@pytest.mark.parametrize("variant", ["asyncio", "threads"])
async def test_boom_is_one_exception_with_its_input(api: httpx.AsyncClient, begin: Start, variant: str) -> None:
    server = await begin(variant)
    peer = await say(server.spec.port, b"boom\n")
    found = await one(api, type="RuntimeError", message="boom", input=r"b'boom\n'", peer=peer, fatal=False)
    assert (found["server"], found["variant"]) == (server.name, variant)


async def test_a_forgotten_task_of_asyncio_basic_is_seen(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio-basic")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hello", b"hello")
        await client.reset()
    found = await one(api, type="ConnectionResetError", server=server.name)
    assert (found["connection"], found["input"], found["fatal"]) == ("1-1", "b'hello'", False)


async def test_too_much_without_quit_is_seen_with_the_end_of_it(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking", max_buffer=10)
    await say(server.spec.port, b"x" * 5000 + b"the end")
    assert (await one(api, type="BufferError"))["input"].endswith("xthe end'")


# Folding


async def test_equal_ones_are_folded_and_the_latest_is_told(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    first = await say(server.spec.port, b"boom\n")
    id = (await one(api, count=1, peer=first))["id"]
    last = await say(server.spec.port, b"boom\n")
    found = await one(api, count=2, peer=last)
    assert found["id"] == id
    assert found["first_at"] < found["at"]
    assert (await api.get(f"/servers/{server.name}")).json()["exceptions"] == 2


async def test_others_are_not_folded(api: httpx.AsyncClient, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    for server in (one, other, one):
        await say(server.spec.port, b"boom\n")
    await api.post(f"/servers/{one.name}/restart")
    await say(one.spec.port, b"boom\n")
    assert [(found["server"], found["count"]) for found in await listed(api)] == [
        (one.name, 1),  # of another run
        (other.name, 1),
        (one.name, 2),
    ]
    assert [found["count"] for found in await listed(api, server=other.name)] == [1]


async def test_a_storm_is_counted_exactly_and_kept_short(
    api: httpx.AsyncClient, begin: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(is_news)
    server, storm = await begin("asyncio", backlog=1000), 3000
    for _ in range(storm // 100):
        await asyncio.gather(*(say(server.spec.port, b"boom\n") for _ in range(100)))
    assert (await one(api, count=storm))["input"] == r"b'boom\n'"
    assert (await api.get(f"/servers/{server.name}")).json()["exceptions"] == storm
    assert len([record for record in caplog.records if record.exc_info]) == 4  # the 1st, 10th, 100th and 1000th
    assert len((await api.get("/journal")).json()["items"]) < 5
    caplog.handler.removeFilter(is_news)


async def test_threads_do_not_lose_count(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("threads", backlog=1000)
    for _ in range(5):
        await asyncio.gather(*(say(server.spec.port, b"boom\n") for _ in range(100)))
    await one(api, count=500)


def test_a_log_keeps_the_latest_and_counts_all() -> None:
    now, kept = datetime(2026, 1, 1, tzinfo=UTC), ExceptionLog(3)
    looked: list[int] = []

    def add(key: int, at: datetime) -> None:
        details = None
        if kept.wants_details(key, at):
            looked.append(key)
            details = Details(None, None, "E", str(key), "", None)
        kept.add(key, "s", 1, "v", at, details)

    for key in range(5):
        add(key, now)
    assert [record.id for record in kept.latest()] == [5, 4, 3]
    assert [record.id for record in kept.latest(before=5)] == [4, 3]
    assert (kept.dropped, kept.counts["s", 1]) == (2, 5)
    looked.clear()
    for _ in range(1000):
        add(4, now)
    assert len(looked) == 19  # of many at once, the first are looked at
    add(4, now + timedelta(seconds=1))
    assert len(looked) == 20  # and one now and then
    add(0, now)  # dropped, so it is new again
    assert [record.id for record in kept.latest()] == [6, 5, 4]
    kept.expire(now + timedelta(seconds=0.5))
    assert [record.count for record in kept.latest()] == [1002]
    kept.clear("other")
    assert kept.counts["s", 1] == 1007
    kept.clear("s")
    assert (kept.latest(), kept.counts["s", 1], kept.raised["s", 1]) == ([], 0, 1007)


# Odd ones


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Talkative(Exception):
    def __str__(self) -> str:
        try:
            raise KeyError("within")
        except KeyError:
            log.exception("while it is looked at")
        return "spoken"


@dataclass(frozen=True)
class Frozen(Exception):
    why: str = "cold"


class Notes(Exception):
    @property
    def __notes__(self) -> Any:
        raise RuntimeError("no notes")


Surrogate = type("Half", (Exception,), {"__qualname__": "Half\udc80" + "x" * 5000})
ONE = RuntimeError("the same again")


def deep(left: int) -> None:
    if left == 0:
        raise RecursionError("deep")
    deep(left - 1)


def odd(what: str) -> None:
    match what:
        case "surrogate":
            raise ValueError("half of a pair: \ud800")
        case "long":
            raise ValueError("x" * 10_000_000)
        case "unspeakable":
            raise Unspeakable
        case "deep":
            deep(900)
        case "group":
            raise ExceptionGroup("several", [ExceptionGroup("more", [KeyError("leaf")]), ValueError()])
        case "leaving":
            raise Leaving
        case "talkative":
            raise Talkative
        case "frozen":
            raise Frozen
        case "notes":
            raise Notes("with notes")
        case "syntax":
            raise SyntaxError("x", ("f", 1, "abc", "def"))  # type: ignore[arg-type]
        case "name":
            raise Surrogate("named")
        case "base":
            raise KeyboardInterrupt("not that one")


async def raises(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    with connection:
        data = await asyncio.get_running_loop().sock_recv(connection, 100)
        try:
            odd(data.decode())
        except BaseException:
            log.exception("odd")
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("surrogate", "ValueError", r"half of a pair: \ud800"),
        ("long", "ValueError", "x [...] x"),
        ("unspeakable", "Unspeakable", "(its message cannot be had)"),
        ("deep", "RecursionError", "deep"),
        ("group", "KeyError", "'leaf'"),
        ("base", "KeyboardInterrupt", "not that one"),
        ("leaving", "Leaving", "(its message cannot be had)"),
        ("talkative", "Talkative", "spoken"),
        ("frozen", "Frozen", ""),
        ("name", r"Half\udc80" + "x", "named"),
    ],
)
async def test_odd_ones_are_told_too(api: httpx.AsyncClient, begin: Start, what: str, kind: str, message: str) -> None:
    server = await begin(raises)
    await say(server.spec.port, what.encode())
    for _ in range(500):
        items = [item for item in await listed(api) if item["type"].partition("xx")[0].rstrip("x") == kind.rstrip("x")]
        if items:
            break
        await asyncio.sleep(0.01)
    (found,) = items
    assert len(found["type"]) < 300
    assert found["count"] == 1
    assert server.exceptions > 1 if what == "talkative" else server.exceptions == 1
    assert found["message"].replace("x" * 500, "x") == message
    assert (found["connection"], found["input"]) == ("1-1", repr(what.encode()))
    assert len(found["traceback"]) < 2 * blame.MOST_TRACEBACK


async def dies_of(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    with connection:
        odd((await asyncio.get_running_loop().sock_recv(connection, 100)).decode())


@pytest.mark.parametrize("what", ["frozen", "notes", "syntax", "name", "leaving", "talkative", "base", "surrogate"])
async def test_a_server_that_dies_of_an_odd_one_has_crashed(api: httpx.AsyncClient, begin: Start, what: str) -> None:
    server = await begin(dies_of, restart="never")
    await say(server.spec.port, what.encode())
    await until(lambda: server.state is State.CRASHED, "it has crashed")
    assert [item["fatal"] for item in await listed(api)][-1:] == [True]
    assert (await api.get(f"/servers/{server.name}")).status_code == 200


async def raises_the_same_again(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        with connection:
            try:
                raise ONE
            except RuntimeError:
                log.exception("again")


async def test_one_object_that_is_raised_again_counts_again(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    server = await begin(raises_the_same_again)
    for _ in range(3):
        await say(server.spec.port, b"")
    await until(lambda: server.exceptions == 3, "each is counted")
    watched.chronicle.clear_exceptions()
    await say(server.spec.port, b"")
    await until(lambda: server.exceptions == 1, "it counts anew")


async def forgets_in_a_cycle(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        asyncio.ensure_future(holds_itself(connection))  # noqa: RUF006


async def holds_itself(connection: socket.socket) -> None:
    own = asyncio.current_task()
    with connection:
        raise ValueError(f"in {own is not None}")


async def test_a_forgotten_task_that_only_the_garbage_collector_finds_is_seen(
    api: httpx.AsyncClient, begin: Start
) -> None:
    server = await begin(forgets_in_a_cycle)
    for _ in range(3):
        await say(server.spec.port, b"")
    await until(lambda: gc.collect() >= 0 and server.exceptions == 3, "they are found")
    assert (await one(api, count=3))["server"] == server.name


async def test_what_a_server_sends_is_not_taken_for_its_input(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("selectors")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hello", b"You Got hello")
        await client.reset()
    assert (await one(api, type="ConnectionResetError"))["input"] is None


def test_an_answer_that_was_made_of_the_input_is_not_shown_in_its_place() -> None:
    def fails(connection: Connection, data: bytes) -> None:
        answer = b"MARK " + data
        raise ValueError(answer)

    marks = replace(made_up(fails, __file__), wire=Wire(prefix=b"MARK "))
    with pytest.raises(ValueError, match="MARK") as caught:
        fails(None, b"hello")  # type: ignore[arg-type]
    assert blame.input_of(caught.value, marks) == b"hello"


async def test_no_thread_is_left_behind_that_could_not_be_started(
    watched: Supervisor, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await begin("threads")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
    await until(lambda: len(server.threads) == 1, "only its own is left")

    def refuses(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading, "_start_new_thread", refuses)
        await say(server.spec.port, b"")
    assert len(server.threads) == 1
    await until(lambda: server.exceptions == 1, "it is told")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
    async with asyncio.timeout(1):
        await watched.stop(server.name)
    assert server.exit is not None
    assert server.exit.reason == "stopped"


async def misspeaks(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    with connection:
        logging.getLogger("servers.misspeaks").info("%d clients", "many")
        await asyncio.get_running_loop().sock_sendall(connection, b"went on")
    await asyncio.Event().wait()


async def test_a_mistake_in_a_log_line_does_not_hurt_who_wrote_it(
    watched: Supervisor, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(logging.getLogger("servers.misspeaks"), "propagate", False)
    net = next(handler for handler in logging.getLogger().handlers if type(handler).__name__ == "_Logged")
    logging.getLogger("servers.misspeaks").addHandler(net)
    server = await begin(misspeaks)
    async with await Client.to(server.spec.port) as client:
        assert await client.receive(7) == b"went on"
    logging.getLogger("servers.misspeaks").removeHandler(net)
    assert server.exceptions == 0


def test_the_net_takes_no_lock_that_others_could_wait_for() -> None:
    net = _Logged()
    assert net.lock is None
    assert net.handle(logging.makeLogRecord({"msg": "of nobody's"}))


async def test_what_the_garbage_collector_brings_waits_its_turn(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come while a lock is held that its handling needs, here or in another thread."""
    server = await begin("asyncio")
    task = asyncio.get_running_loop().create_future()
    task._echodeck_owner = server._run
    asyncio.get_running_loop().call_exception_handler({"message": "m", "exception": ValueError(), "future": task})
    assert server.exceptions == 0
    await asyncio.sleep(0)
    assert server.exceptions == 1


async def logs_and_dies(listener: socket.socket, options: object) -> None:
    listener.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    try:
        await fails_with(connection)
    except ValueError:
        log.exception("to be continued")
        raise


async def test_one_that_is_logged_and_then_fatal_is_one(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin(logs_and_dies, restart="never")
    await say(server.spec.port, b"boom")
    await until(lambda: server.state is State.CRASHED, "it dies")
    await one(api, count=1, fatal=True)
    assert server.exceptions == 1


async def test_a_failure_of_the_net_does_not_hurt_the_server(
    watched: Supervisor, begin: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*arguments: object, **more: object) -> Any:
        raise RuntimeError("the net is torn")

    monkeypatch.setattr(blame, "trail", fails)
    server = await begin("asyncio")
    await say(server.spec.port, b"boom\n")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"still here", b"still here")
    assert "the net is torn" in caplog.text


async def test_threads_and_errors_of_others_are_not_touched(
    watched: Supervisor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise ValueError("nobody's")

    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    await watched.close()
    monkeypatch.setattr(threading, "excepthook", seen.append)
    started = threading.Thread.start
    await watched_again(seen, fails)
    assert threading.Thread.start is started


async def watched_again(seen: list[Any], fails: Callable[[], None]) -> None:
    from app.adoption import adopting

    with adopting(asyncio.get_running_loop()):
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    assert [str(one.exc_value) for one in seen] == ["nobody's"]


# What is shown is kept


@pytest.mark.parametrize("path", ["/exceptions", "/exceptions/1", "/journal", "/servers", "/servers/one", "/"])
async def test_what_is_shown_is_in_the_file_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(store, "GATHER_SECONDS", 5.0)  # unless somebody waits for it
    made = create_app(Settings(state=str(tmp_path / "state")))
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost:8000") as api,
    ):
        server = (await api.post("/servers", json={"variant": "asyncio", "port": 0, "name": "one"})).json()
        await say(server["port"], b"boom\n")
        await until(lambda: made.state.supervisor.server("one").exceptions == 1, "it failed")
        assert (await api.get(path)).status_code == 200
        with closing(sqlite3.connect(tmp_path / "state")) as other:
            assert other.execute("SELECT message FROM exceptions").fetchall() == [("boom",)]


# Clearing


async def test_clearing_forgets_and_counts_anew(api: httpx.AsyncClient, begin: Start) -> None:
    one, other = await begin("asyncio"), await begin("asyncio")
    for server in (one, other):
        await say(server.spec.port, b"boom\n")
    assert (await api.delete("/exceptions", params={"server": one.name})).status_code == 204
    assert [found["server"] for found in await listed(api)] == [other.name]
    assert (await api.get(f"/servers/{one.name}")).json()["exceptions"] == 0
    assert (await api.delete("/exceptions")).status_code == 204
    assert await listed(api) == []
    assert (await api.get("/exceptions/2")).status_code == 404
    await say(one.spec.port, b"boom\n")
    assert [(found["id"], found["count"]) for found in await listed(api)] == [("3", 1)]


async def test_a_misspelt_parameter_clears_nothing(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio")
    await say(server.spec.port, b"boom\n")
    answer = await api.delete("/exceptions", params={"sever": "nobody"})
    assert (answer.status_code, answer.json()["field"]) == (422, "sever")
    assert len(await listed(api)) == 1


@pytest.mark.parametrize("id", ["2", "0", "-1", "01", "one", "9" * 300, "1%20"])
async def test_unknown_exceptions_are_unknown(api: httpx.AsyncClient, begin: Start, id: str) -> None:
    await say((await begin("asyncio")).spec.port, b"boom\n")
    assert (await listed(api))[0]["id"] == "1"
    assert (await api.get(f"/exceptions/{id}")).status_code == 404


async def test_pages_hold_every_exception_once(api: httpx.AsyncClient, begin: Start) -> None:
    for _ in range(5):
        await say((await begin("asyncio")).spec.port, b"boom\n")
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (await api.get("/exceptions", params={"limit": 2} | ({"after": after} if after else {}))).json()
        seen += [found["id"] for found in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["5", "4", "3", "2", "1"]


# The journal


async def test_the_journal_tells_what_happened_the_newest_first(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("accept-once", restart="never")
    async with await Client.to(server.spec.port) as client:
        port = client.socket.getsockname()[1]
        await client.rest()
    await until(lambda: server.state is State.EXITED, "it has served its client")
    items = (await api.get("/journal", params={"server": server.name})).json()["items"]
    told = [entry["what"] for entry in reversed(items)]
    assert told[:2] == ["was created", f"listens on 127.0.0.1:{server.spec.port}"]
    assert str(port) in told[2]  # the client's address is an event
    assert told[3] == "came to its end"
    after = (await api.get("/journal", params={"limit": 1})).json()["next"]
    assert (await api.get("/journal", params={"limit": 1, "after": after})).json()["items"] == [items[1]]
