"""Exceptions that resist being looked at: none of them may hurt the server, the app, or the count."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from app.history import blame
from app.loop.ownership import _Logged
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from servers import Connection, Wire
from tests.conftest import Start, made_up
from tests.helpers import PATIENCE, Client, until
from tests.test_exceptions import fails_with, listed, one, say

log = logging.getLogger(__name__)


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

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    starts = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    with monkeypatch.context() as short:
        short.setattr(threading, starts, refuses)
        await say(server.spec.port, b"")
    assert len(server.threads) == 1
    await until(lambda: server.exceptions == 1, "it is told")
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"x", b"x")
    async with asyncio.timeout(PATIENCE):
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
    from app.loop.ownership import tracking

    with tracking(asyncio.get_running_loop()):
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    assert [str(one.exc_value) for one in seen] == ["nobody's"]
