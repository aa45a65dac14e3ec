"""What goes on until Ctrl+C: ``top``, ``connections --watch``, ``exceptions --follow``; and what the app does meanwhile."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import echodeck
from echodeck import EchoServer
from tests.commanding import SLOW, Piped, output, piped, terminal
from tests.conftest import Program

Servers = Callable[..., EchoServer]
Start = Callable[..., Program]


@pytest.fixture
def url(echodeck_app: echodeck.Client) -> str:
    return echodeck_app.url


def boom(port: int) -> None:
    """Have a server raise an exception; return once it has."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"boom\n")
        client.settimeout(SLOW)
        assert client.recv(1) == b""


def documents(one: Piped) -> list[dict[str, object]]:
    return [json.loads(row) for row in one.received["stdout"].splitlines()]


# top


def test_top_fills_a_terminal_until_q(url: str, echo_servers: Servers) -> None:
    names = [echo_servers("asyncio").name, echo_servers("blocking").name]
    with terminal(url, "top") as screen:
        screen.wait_for("by loop")
        assert b"\x1b[?1049h" in screen.written
        assert not screen.echoes()
        assert all(name in screen.text for name in names)
        assert max(map(len, screen.text.splitlines())) <= 80
        screen.type(b"s")
        screen.wait_for("by open")
        screen.type(b"q")
        assert screen.end() == 0
        assert screen.written.rindex(b"\x1b[?1049l") > screen.written.rindex(b"\x1b[?1049h")


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_top_leaves_the_terminal_as_it_was(url: str, sig: signal.Signals, code: int) -> None:
    with terminal(url, "top") as screen:
        screen.wait_for("by loop")
        screen.process.send_signal(sig)
        assert screen.end() == code
        assert screen.written.rindex(b"\x1b[?1049l") > screen.written.rindex(b"\x1b[?1049h")
        assert screen.written.rindex(b"\x1b[?25h") > screen.written.rindex(b"\x1b[?25l")
        assert b"Traceback" not in screen.written


def test_top_sorts_and_measures(url: str, echo_servers: Servers) -> None:
    quiet, busy = echo_servers("asyncio", name="a-quiet"), echo_servers("nonblocking", name="z-busy")
    found = json.loads(output(url, "top", "--once", "--json"))
    assert [one["name"] for one in found["servers"]] == [busy.name, quiet.name]
    assert found["servers"][0]["loop_share"] > found["servers"][1]["loop_share"]
    with socket.create_connection(quiet.address):
        by_open = output(url, "top", "--once", "--sort", "open").splitlines()
    assert [row.split()[0] for row in by_open if row.split()[:1] and row.split()[0] in {"a-quiet", "z-busy"}] == [
        "a-quiet",
        "z-busy",
    ]


def test_top_says_what_goes_through_a_second(url: str, echo_server: EchoServer) -> None:
    with (
        piped(url, "top", "--json", "--interval", "0.2") as one,
        socket.create_connection(echo_server.address) as client,
    ):
        one.wait_for(b"\n")
        client.sendall(b"x" * 1000)
        deadline = time.monotonic() + SLOW
        rates = [0.0]
        while not any(rates):
            assert time.monotonic() < deadline
            one.received["stdout"] = b""
            one.wait_for(b"\n")
            rates = [
                server["bytes_in_per_second"]
                for told in one.received["stdout"].splitlines(keepends=True)
                if told.endswith(b"\n")
                for server in json.loads(told)["servers"]
            ]
        one.process.send_signal(signal.SIGINT)
        assert one.end() == 130


def test_top_says_when_the_app_is_away_and_goes_on_when_it_is_back(program: Start) -> None:
    running = program()
    with terminal(running.url, "top", "--interval", "0.2") as screen:
        screen.wait_for("0 servers")
        running.end()
        screen.wait_for("trying again")
        again = program("--port", str(running.port))
        output(again.url, "start", "asyncio", "--name", "newcomer")
        screen.wait_for("newcomer")
        screen.type(b"q")
        assert screen.end() == 0


def test_top_says_when_the_app_does_not_answer_and_still_leaves(program: Start) -> None:
    running = program()
    with terminal(running.url, "top", "--interval", "0.2") as screen:
        screen.wait_for("0 servers")
        running.signal(signal.SIGSTOP)
        screen.wait_for("no answer for")
        screen.type(b"q")
        assert screen.end() == 0


# connections --watch


def test_watch_shows_who_comes(url: str, echo_server: EchoServer) -> None:
    with terminal(url, "connections", "--watch", "--interval", "0.2") as screen:
        screen.wait_for("Nobody is connected.")
        with socket.create_connection(echo_server.address) as client:
            assert echo_server.name in screen.wait_for(f"127.0.0.1:{client.getsockname()[1]}")
            screen.type(b"\x03")
            assert screen.end() == 130
            assert b"Traceback" not in screen.written


def test_watch_in_json_is_a_document_a_line_whatever_the_app_does(program: Start) -> None:
    running = program()
    with piped(running.url, "connections", "-w", "--json", "--interval", "0.1") as one:
        one.wait_for(b"[]\n[]\n")
        running.end()
        one.wait_for(b"trying again", "stderr")
        program("--port", str(running.port))
        one.wait_for(b"answers again", "stderr")
        one.process.send_signal(signal.SIGINT)
        assert one.end() == 130
        assert set(one.received["stdout"].splitlines()) == {b"[]"}


def test_watch_ends_when_nobody_reads(url: str) -> None:
    with piped(url, "connections", "-w", "--json", "--interval", "0.1") as one:
        one.wait_for(b"\n")
        assert one.process.stdout
        one.process.stdout.close()
        assert one.end() == 0
        assert one.received["stderr"] == b""


# exceptions


def test_exceptions_are_a_log_with_the_newest_last(url: str, echo_servers: Servers) -> None:
    first, second = echo_servers("asyncio"), echo_servers("threads")
    output(url, "exceptions", "--forget")
    for server in (first, second, second):
        boom(server.port)
    rows = output(url, "exceptions").splitlines()
    assert [row.split()[2] for row in rows] == [first.name, second.name]
    assert [row.split(maxsplit=4)[4] for row in rows] == ["RuntimeError: boom", "RuntimeError: boom (x2)"]
    assert output(url, "exceptions", "-n", "1").splitlines() == rows[1:]
    assert output(url, "exceptions", "-n", "0") == ""
    assert output(url, "exceptions", "--server", first.name).splitlines() == rows[:1]
    assert output(url, "exceptions", "--type", "ValueError") == ""
    assert output(url, "exceptions", "--search", "BOOM").splitlines() == rows
    full = output(url, "exceptions", "--full", "-s", first.name)
    assert "input b'boom\\n'" in full
    assert full.rstrip().endswith("RuntimeError: boom")
    output(url, "exceptions", "--forget", "--server", first.name)
    assert len(output(url, "exceptions").splitlines()) == 1


def test_follow_tells_each_as_it_comes_and_nothing_twice(url: str, echo_servers: Servers) -> None:
    server, other = echo_servers("asyncio"), echo_servers("asyncio")
    output(url, "exceptions", "--forget")
    boom(server.port)
    with piped(url, "exceptions", "--follow", "--json", "--server", server.name) as one:
        one.wait_for(b"\n")
        boom(other.port)
        boom(server.port)
        one.wait_for(b'"count": 2')
        server.stop()
        server.start()
        boom(server.port)
        one.wait_for(b"\n", times=3)
        one.process.send_signal(signal.SIGINT)
        assert one.end() == 130
        assert [(told["server"], told["count"]) for told in documents(one)] == [
            (server.name, 1),
            (server.name, 2),
            (server.name, 1),
        ]


def test_follow_filters_what_comes(url: str, echo_servers: Servers) -> None:
    server, other = echo_servers("asyncio"), echo_servers("asyncio")
    output(url, "exceptions", "--forget")
    boom(server.port)
    with (
        piped(url, "exceptions", "-f", "--type", "ValueError") as other_type,
        piped(url, "exceptions", "-f", "--search", server.name.upper()) as this,
    ):
        this.wait_for(b"boom\n")
        boom(other.port)
        boom(server.port)
        this.wait_for(b"boom (x2)\n")
        for one in (other_type, this):
            one.process.send_signal(signal.SIGINT)
            assert one.end() == 130
        assert other_type.received["stdout"] == b""
        assert other.name.encode() not in this.received["stdout"]


def test_follow_outlives_a_restart_of_the_app(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    running = program("--state", state)
    port = json.loads(output(running.url, "start", "asyncio", "--json"))["port"]
    with piped(running.url, "exceptions", "-f") as one:
        boom(port)
        one.wait_for(b"boom\n")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        one.wait_for(b"trying again", "stderr")
        program("--state", state, "--port", str(running.port))
        deadline = time.monotonic() + SLOW
        while True:
            try:
                boom(port)  # perhaps before the feed is back
                break
            except ConnectionRefusedError:  # restored while the app is already there
                assert time.monotonic() < deadline
        one.wait_for(b"answers again", "stderr")
        one.wait_for(b"boom", times=2)
        one.process.send_signal(signal.SIGINT)
        assert one.end() == 130
        assert (one.received["stdout"].count(b"boom"), one.received["stderr"].count(b"trying")) == (2, 1)


def test_follow_ends_when_nobody_reads(url: str, echo_server: EchoServer) -> None:
    boom(echo_server.port)
    with piped(url, "exceptions", "-f") as one:
        one.wait_for(b"boom\n")
        assert one.process.stdout
        one.process.stdout.close()
        boom(echo_server.port)
        assert one.end() == 0
        assert one.received["stderr"] == b""
