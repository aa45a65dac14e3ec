"""The calls of a server as they are told to whoever looks: shapes, order, folding, ends, and what nobody pays for."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

import echodeck
from app.lens.lens import IN_A_BEAT, KEYS, Lens
from app.lens.lenses import Lenses
from app.lens.told import Told
from app.lens.viewer import MOST_PENDING, Viewer
from app.supervising.supervisor import Supervisor
from servers import Connection, Listener, discover
from servers._connection import ShownConnection
from tests.conftest import Program, Start
from tests.helpers import PATIENCE, Client, until
from tests.looking import Looking

Servers = Callable[..., echodeck.EchoServer]
FIELDS = {"n", "at", "took", "thread", "task", "call", "on", "args", "result", "errno", "bytes", "line", "times"}


def source_line(variant: str, number: int) -> str:
    return discover()[variant].source.splitlines()[number - 1]


def test_a_call_that_blocks_is_told_before_and_after_it_returns(
    echodeck_app: echodeck.Client, echo_servers: Servers
) -> None:
    server = echo_servers("blocking")
    seen = Looking(echodeck_app, server.name)
    assert seen.begun["variant"] == "blocking"
    assert seen.begun["folding"] == "runs"
    seen.until(lambda: seen.of("accept", took=None), "accept blocks, since before anybody looked")
    with socket.create_connection(server.address) as client:
        seen.until(lambda: seen.of("recv", took=None), "recv blocks")
        (accept,) = seen.of("accept")
        assert accept["n"] == 1
        assert accept["took"] > 0
        assert accept["peer"] == f"127.0.0.1:{client.getsockname()[1]}"
        assert "accept" in source_line("blocking", accept["line"])
        time.sleep(0.3)
        client.sendall(b"hello\nquit\n")
        seen.until(lambda: seen.of("close"), "it is closed")
    (received,) = seen.of("recv")
    assert received["on"] == accept["result"]
    assert received["args"] == {"bufsize": 65536}
    assert received["result"] == 11
    assert 0.25 < received["took"] < PATIENCE
    assert received["thread"] == f"server:{server.name}"
    assert b64decode(received["bytes"]) == b"hello\nquit\n"
    assert "recv" in source_line("blocking", received["line"])
    (sent,) = seen.of("sendall")
    assert (sent["result"], b64decode(sent["bytes"])) == (11, b"hello\nquit\n")
    assert [one["n"] for one in seen.told].count(received["n"]) == 2
    assert sorted(seen.calls) == list(range(1, len(seen.calls) + 1))
    assert not seen.of("wait"), "a thread's server does not wait in the loop"
    assert all(set(one) - {"peer", "last"} == FIELDS for one in seen.told)
    seen.close()


def test_what_a_loop_calls_has_its_task_and_its_line_or_none(
    echodeck_app: echodeck.Client, echo_servers: Servers
) -> None:
    server = echo_servers("asyncio")
    seen = Looking(echodeck_app, server.name)
    with socket.create_connection(server.address) as client:
        client.sendall(b"hi\n")
        assert client.recv(10) == b"hi\n"
        seen.until(lambda: seen.of("recv", errno="EAGAIN"), "it waits for more")
    seen.until(lambda: seen.of("close"), "it is closed")
    (sent,) = seen.of("send")
    assert sent["task"] == f"server:{server.name}/echo"
    assert "sock_sendall" in source_line("asyncio", sent["line"])
    registered = seen.of("register", on="loop")
    assert {"file": sent["on"], "events": "read"} in [one["args"] for one in registered]
    assert {"file": "listener", "events": "read"} in [one["args"] for one in registered]
    called_by_the_loop = [one for one in seen.of("recv") if one["line"] is None]
    assert called_by_the_loop
    assert all(one["task"] is None for one in called_by_the_loop)
    assert sum(one["times"] for one in seen.of("wait", on="loop")) > 5
    seen.close()


def test_a_selector_of_its_own_is_seen(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("selectors")
    seen = Looking(echodeck_app, server.name)
    with socket.create_connection(server.address) as client:
        client.sendall(b"hi\n")
        client.recv(100)
        seen.until(lambda: seen.of("send"), "it answers")
    seen.until(lambda: seen.of("close"), "it is closed")
    assert sum(one["result"] for one in seen.of("select")) >= 3
    for one in seen.of("select"):
        assert "ready" in source_line("selectors", one["line"])
    (accept,) = seen.of("accept")
    assert seen.of("register", on="selector")[0]["args"] == {"file": accept["result"], "events": "read"}
    assert seen.of("unregister", on="selector")[0]["args"] == {"file": accept["result"]}
    seen.close()


def test_each_thread_has_its_own_name(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("threads")
    seen = Looking(echodeck_app, server.name)
    for number in range(1, 4):
        with socket.create_connection(server.address) as client:
            client.sendall(b"hi\n")
            assert client.recv(10) == b"hi\n"
        seen.until(lambda number=number: len(seen.of("close")) == number, "its thread has ended")
    assert len({one["thread"] for one in seen.of("close")}) == 3
    seen.close()


def test_many_calls_are_folded_by_the_second_and_their_counts_stay_exact(
    echodeck_app: echodeck.Client, echo_servers: Servers
) -> None:
    server = echo_servers("nonblocking")
    seen = Looking(echodeck_app, server.name)
    with socket.create_connection(server.address) as client:
        seen.until(lambda: any(beat["folding"] == "second" for beat in seen.beats), "it folds")
        for word in (b"one\n", b"two\n", b"quit\n"):
            client.sendall(word)
            time.sleep(0.2)
        assert client.recv(100) == b"one\ntwo\nquit\n"
        (accept,) = seen.of("accept", errno=None)
        seen.until(lambda: seen.of("send"), "it answers")
        time.sleep(1.2)
    server.stop()
    assert seen.ended() == "stopped"
    assert [b64decode(one["bytes"]) for one in seen.of("recv", on=accept["result"]) if one["result"]] == [
        b"one\n",
        b"two\n",
        b"quit\n",
    ]
    folded = [one for one in seen.of("recv", on=accept["result"], errno="EAGAIN") if one["times"] > 50]
    assert folded
    assert all(one["last"] > one["at"] and one["took"] > 0 for one in folded)
    assert seen.count(accept["result"])["recv", "EAGAIN"] > 5000
    assert {beat["dropped"] for beat in seen.beats} == {0}
    seen.close()


def test_without_bytes_none_are_told(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("asyncio")
    with (
        httpx.Client(base_url=echodeck_app.url) as http,
        http.stream("GET", f"/servers/{server.name}/calls", params={"bytes": "0"}) as answer,
    ):
        lines = answer.iter_lines()
        assert any("event: begin" in line for line in lines)
        with socket.create_connection(server.address) as client:
            client.sendall(b"secret\n")
            text = ""
            while '"call":"send"' not in text:
                text += next(lines)
    assert "c2VjcmV0" not in text


def test_the_kernels_queue_and_buffers_are_told_beside(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("blocking")
    seen = Looking(echodeck_app, server.name)
    with socket.create_connection(server.address), socket.create_connection(server.address):
        seen.until(lambda: seen.beats and seen.beats[-1]["state"]["queue"] == 1, "the second one waits")
        (inside,) = seen.beats[-1]["state"]["unread"]
        assert inside == seen.of("accept")[0]["result"]
    seen.close()


@pytest.mark.parametrize(("act", "reason"), [("stop", "stopped"), ("restart", "stopped"), ("remove", "removed")])
def test_the_end_says_why(echodeck_app: echodeck.Client, echo_servers: Servers, act: str, reason: str) -> None:
    server = echo_servers("asyncio")
    seen = Looking(echodeck_app, server.name)
    getattr(echodeck_app, act)(server.name)
    assert seen.ended() == reason
    seen.close()


def test_the_app_ends_under_the_lens(program: Callable[..., Program]) -> None:
    running = program()
    with echodeck.Client(running.url) as deck:
        server = deck.create("asyncio")
        seen = Looking(deck, server.name)
        running.signal(signal.SIGTERM)
        assert seen.ended() == "app ends"
        seen.close()


def test_there_is_nothing_to_see_of_what_is_not_there_or_does_not_run(
    echodeck_app: echodeck.Client, echo_servers: Servers
) -> None:
    with pytest.raises(echodeck.Refused) as refused:
        list(echodeck_app.calls("nobody"))
    assert (refused.value.status, refused.value.name) == (404, "unknown")
    server = echo_servers("asyncio")
    server.stop()
    with pytest.raises(echodeck.Refused) as refused:
        list(echodeck_app.calls(server.name))
    assert (refused.value.status, refused.value.name) == (409, "not-running")
    with pytest.raises(echodeck.Refused) as refused:
        echodeck_app.record(server.name, 1)
    assert refused.value.name == "not-running"


def test_who_may_only_read_may_look_and_not_record(program: Callable[..., Program]) -> None:
    running = program(ECHODECK_TOKEN="secret", ECHODECK_VIEWER_TOKEN="look")
    with echodeck.Client(running.url, token="secret") as owner, echodeck.Client(running.url, token="look") as viewer:
        name = owner.create("asyncio").name
        assert next(iter(viewer.calls(name))).kind == "begin"
        with pytest.raises(echodeck.Refused) as refused:
            viewer.record(name, 1)
        assert refused.value.name == "read-only"
        address = f"{running.url.replace('http', 'ws')}/servers/{name}/calls"
        with connect(address, additional_headers={"authorization": "Bearer look"}, proxy=None) as socket_:
            assert json.loads(socket_.recv(timeout=10))["event"] == "beat"
            assert json.loads(socket_.recv(timeout=10))["event"] == "begin"


def test_on_uvloop_what_cannot_be_seen_is_said(program: Callable[..., Program]) -> None:
    pytest.importorskip("uvloop")
    running = program("--loop", "uvloop")
    with echodeck.Client(running.url) as deck:
        server = deck.create("asyncio")
        seen = Looking(deck, server.name)
        assert seen.begun["waits"] is False
        assert "uvloop" in seen.begun["unseen"]
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"hi\n")
            assert client.recv(10) == b"hi\n"
            seen.until(lambda: [one for one in seen.of("recv") if one["result"] == 3], "its recv is told")
        seen.close()


def test_forty_look_at_once_and_each_is_told_all(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("asyncio")
    viewers = [Looking(echodeck_app, server.name) for _ in range(40)]
    with socket.create_connection(server.address) as client:
        for number in range(20):
            client.sendall(b"%d\n" % number)
            client.recv(10)
    span = viewers[0].beats[-1]["at"] - viewers[0].beats[0]["at"]
    assert len(viewers[0].beats) <= span * 10 + 2, "ten beats a second, whoever else comes"
    for seen in viewers:
        seen.until(lambda seen=seen: len(seen.of("send")) == 20, "each is told")
        assert [b64decode(one["bytes"]) for one in seen.of("send")] == [b"%d\n" % number for number in range(20)]
        assert sorted(seen.calls) == list(range(1, len(seen.calls) + 1))
        seen.close()
    until_forgotten = time.monotonic() + PATIENCE
    while echodeck_app.loop() and "lens:" in str(_tasks(echodeck_app)):
        assert time.monotonic() < until_forgotten, "the lens stays on"
        time.sleep(0.1)


def _tasks(deck: echodeck.Client) -> Any:
    return httpx.get(f"{deck.url}/loop/tasks").json()


# In this process: what is worn, and by whom


async def test_nothing_is_worn_while_nobody_looks(supervisor: Supervisor, start: Start) -> None:
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    plain = type(selector)
    server = await start("selectors")
    lenses = Lenses(supervisor)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hi\n", b"You Got hi\n")
        (inside,) = server.run.clients.all()
        own = list(server.run.selectors)
        worn = [type(one) for one in own]
        assert own
        viewers = [lenses.look(server.name) for _ in range(2)]
        assert type(inside.connection) is ShownConnection
        assert type(selector) is not plain
        assert [type(one) for one in own] != worn
        for viewer in viewers:
            viewer.leave()
        assert type(inside.connection) is Connection
        assert type(selector) is plain
        assert [type(one) for one in own] == worn
        assert server.run.listener.lens is None
        await client.ask(b"on\n", b"You Got on\n")


async def test_a_lens_that_fails_hurts_no_server(
    supervisor: Supervisor, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start("asyncio")
    lenses = Lenses(supervisor)
    viewer = lenses.look(server.name)

    def broken(*_: object) -> None:
        raise RuntimeError("this lens is broken")

    monkeypatch.setattr(Lens, "_note", broken)
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hi\n", b"hi\n")
        await until(lambda: viewer.end == "failed", "it is over, and says so")
        await client.ask(b"on\n", b"on\n")


async def test_who_does_not_take_what_is_told_is_let_go(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    lenses = Lenses(supervisor)
    slow, quick = lenses.look(server.name), lenses.look(server.name)
    taken = 0
    async with await Client.to(server.spec.port) as client:
        while slow.end is None:
            for _ in range(500):
                await client.ask(b"x", b"x")
            quick._look.tell()
            taken += sum(len(beat.calls) for beat in quick._beats)
            quick._pending -= sum(len(beat.calls) for beat in quick._beats)
            quick._beats.clear()
            assert taken < 50 * MOST_PENDING
    assert slow.end == "too slow"
    assert quick.end is None
    assert [beat async for beat in slow.beats()] == []
    quick.leave()


# Folding


class Files:
    """Stands for a socket."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number


def test_equal_calls_in_a_row_are_one_and_others_are_not() -> None:
    lens, one, other = Lens("/nowhere.py"), Files(1), Files(2)
    eagain = BlockingIOError(11, "nothing yet")
    for _ in range(3):
        lens.fails("recv", one, 10, lens.enters("recv", one, 10), eagain)
    lens.fails("recv", other, 10, lens.enters("recv", other, 10), eagain)
    lens.returns("recv", one, 10, lens.enters("recv", one, 10), 3, b"abc")
    lens.returns("recv", one, 10, lens.enters("recv", one, 10), 3, b"abc")
    lens.returns("recv", one, 10, lens.enters("recv", one, 10), 3, b"xyz")
    assert [(told.times, told.errno, told.data) for told in lens.take()] == [
        (3, 11, None),
        (1, 11, None),
        (2, None, b"abc"),
        (1, None, b"xyz"),
    ]


def test_whatever_comes_is_counted_once() -> None:
    lens, file = Lens("/nowhere.py"), Files(1)
    made = IN_A_BEAT * 4 + 7

    def call(_: int) -> None:
        lens.returns("recv", file, 10, lens.enters("recv", file, 10), 3, b"abc")

    for number in range(made):
        call(number)
    told = lens.take(all_of_it=True)
    assert lens.folding == "second"
    for number in range(50):
        call(number)
    told += lens.take(all_of_it=True)
    assert sum(one.times for one in told) == made + 50
    assert lens.dropped == 0


def test_of_too_many_kinds_the_rest_is_dropped_and_counted() -> None:
    lens = Lens("/nowhere.py")
    for number in range(IN_A_BEAT + KEYS + 30):
        file = Files(number)
        lens.returns("recv", file, 10, lens.enters("recv", file, 10), number, b"")
    told = lens.take(all_of_it=True)
    assert sum(one.times for one in told) == IN_A_BEAT + KEYS
    assert lens.dropped == 30


def test_threads_that_call_at_once_lose_nothing() -> None:
    lens = Lens("/nowhere.py")
    told: list[Any] = []

    def work(number: int) -> None:
        file = Files(number)
        for _ in range(3000):
            lens.returns("recv", file, 10, lens.enters("recv", file, 10), 1, b"x")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        told += lens.take()
    told += lens.take(all_of_it=True)
    unique = {id(one): one for one in told}.values()
    assert sum(one.times for one in unique) == 18_000
    assert Listener.lens is None


async def test_who_leaves_twice_does_not_blind_the_next(supervisor: Supervisor, start: Start) -> None:
    server = await start("asyncio")
    lenses = Lenses(supervisor)
    first = lenses.look(server.name)
    first.leave()
    second = lenses.look(server.name)
    first.leave()  # a stream's end may say it once more, after somebody else has come
    async with await Client.to(server.spec.port) as client:
        await client.ask(b"hi\n", b"hi\n")
        told = [one.call async for one in _calls_of(second)]
    assert {"accept", "recv", "send"} <= set(told)
    second.leave()


async def _calls_of(viewer: Viewer) -> AsyncIterator[Told]:
    """Until it is told of a ``send``."""
    async with asyncio.timeout(PATIENCE):
        async for beat in viewer.beats():
            for one in beat.calls:
                yield one
                if one.call == "send":
                    return
