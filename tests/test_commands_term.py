"""``echodeck term``: every byte, every way to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable

import pytest

import echodeck
from echodeck import EchoServer
from tests.commanding import error_output, output, piped, run, terminal
from tests.conftest import Program

Servers = Callable[..., EchoServer]
Start = Callable[..., Program]


@pytest.fixture
def url(echodeck_app: echodeck.Client) -> str:
    return echodeck_app.url


def test_what_goes_in_comes_back_untouched(url: str, echo_server: EchoServer) -> None:
    data = os.urandom(3_000_000)
    done = run(url, "term", echo_server.name, "--eof", input=data)
    assert (done.returncode, done.stdout == data) == (0, True)
    assert b"accepted as connection" in done.stderr


@pytest.mark.parametrize("megabytes", [8, 41])
def test_a_reader_that_pauses_holds_back_the_server_and_loses_nothing(
    url: str, echo_server: EchoServer, megabytes: int
) -> None:
    data = os.urandom(megabytes * 1_000_000)
    with piped(url, "term", echo_server.name, "-N") as one:
        one.wait_for(b"accepted", "stderr")
        sending = threading.Thread(target=lambda: (one.send(data), one.process.stdin and one.process.stdin.close()))
        sending.start()
        looks = [-1]
        while looks[-1] < 1 or looks[-20:] != [looks[-1]] * 20:  # until it stands still
            looks.append(echo_server.connections()[0].bytes_out)
        assert looks[-1] < len(data)
        assert one.process.stdout
        assert one.process.stdout.read() == data
        sending.join()
        assert one.end() == 0


def test_without_eof_it_goes_on_reading_until_the_server_ends(
    url: str, echodeck_app: echodeck.Client, echo_server: EchoServer
) -> None:
    with piped(url, "term", echo_server.name) as one:
        one.send(b"hello")
        assert one.process.stdin
        one.process.stdin.close()
        one.wait_for(b"hello")
        (connection,) = echo_server.connections()
        assert connection.state == "open"
        echodeck_app.hang_up(connection.id)
        assert one.end() == 0


def test_with_eof_the_server_is_told(url: str, echo_servers: Servers) -> None:
    assert output(url, "term", echo_servers("asyncio").name, "--eof") == ""


def test_a_server_that_ends_first_ends_it(url: str, echo_servers: Servers) -> None:
    with piped(url, "term", echo_servers("accept-once").name) as one:
        assert one.end() == 0  # though stdin is open


def test_who_waits_is_told_so_and_when_it_is_let_in(url: str, echo_servers: Servers) -> None:
    server = echo_servers("blocking")
    with socket.create_connection(server.address) as first, piped(url, "term", server.name, "--eof") as one:
        one.send(b"hello\nquit\n")
        one.wait_for(b"waits in the backlog", "stderr")
        assert b"accepted" not in one.received["stderr"]
        first.close()
        one.wait_for(b"accepted as connection", "stderr")
        assert one.end() == 0
        assert one.received["stdout"] == b"hello\nquit\n"


def test_quiet_says_nothing_beside_the_bytes(url: str, echo_server: EchoServer) -> None:
    assert run(url, "term", echo_server.name, "-N", "-q", input=b"x").stderr == b""


def test_hex_shows_both_directions(url: str, echo_server: EchoServer) -> None:
    rows = output(url, "term", echo_server.name, "--eof", "--hex", input=b"0123456789abcdef\x00\xff\n").splitlines()
    for direction in "><":
        assert [row[2:] for row in rows if row[0] == direction] == [
            "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|",
            "00000010  00 ff 0a                                         |...|",
        ]


def test_crlf_is_sent_once_for_each_line(url: str, echo_server: EchoServer) -> None:
    assert run(url, "term", echo_server.name, "-NC", input=b"a\nb\r\nc\r\rd\n").stdout == b"a\r\nb\r\nc\r\rd\r\n"
    with piped(url, "term", echo_server.name, "-NC") as one:
        one.send(b"a\r")
        one.wait_for(b"a\r")
        one.send(b"\nb")
        assert one.wait_for(b"b") == b"a\r\nb"


def test_json_has_all_that_happens(url: str, echo_server: EchoServer) -> None:
    happened = [
        json.loads(row) for row in output(url, "term", echo_server.name, "-N", "--json", input=b"hi").splitlines()
    ]
    assert {one["type"] for one in happened} == {"opened", "accepted", "bytes", "eof", "closed"}
    assert (happened[0]["type"], happened[-1]["code"]) == ("opened", 1000)
    assert {"type": "bytes", "direction": "in", "base64": "aGk="} in happened
    assert {"type": "bytes", "direction": "out", "base64": "aGk="} in happened


# In a terminal


def test_a_terminal_sees_control_bytes_and_does_not_obey_them(url: str, echo_server: EchoServer) -> None:
    with terminal(url, "term", echo_server.name) as screen:
        screen.wait_for("accepted")
        screen.type("\x16\x1b[31mé\x16\x01\tx\n".encode())
        assert r"\x1b[31mé\x01" in screen.wait_for("\\x01\tx")
        screen.type(b"\x03")
        assert screen.end() == 130
        assert b"Traceback" not in screen.written


def test_raw_lets_it_obey(url: str, echo_server: EchoServer) -> None:
    with terminal(url, "term", echo_server.name, "--raw") as screen:
        screen.wait_for("accepted")
        screen.type(b"\x16\x1b[31mred\n")
        screen.wait_for("red\n")  # as it is typed
        screen.wait_for("red")
        assert b"\x1b[31mred" in screen.written
        assert b"\\x1b" not in screen.written


def test_letters_that_come_in_pieces_are_whole() -> None:
    from app.console.byte_formats import VisibleText

    text = VisibleText()
    pieces = ["é".encode()[:1], "é".encode()[1:] + b"\xff", b"\xc2", b"\x9b\r\n"]
    assert b"".join(map(text.received, pieces)).decode() == "é\\xff\\xc2\\x9b\\x0d\n"


# How it ends


def test_a_server_that_does_not_run(url: str, echo_server: EchoServer) -> None:
    echo_server.stop()
    assert "stopped" in error_output(url, "term", echo_server.name, code=1)


def test_a_server_that_is_stopped_meanwhile(url: str, echo_server: EchoServer) -> None:
    with piped(url, "term", echo_server.name) as one:
        one.wait_for(b"accepted", "stderr")
        echo_server.stop()
        assert one.end() == 6
        assert b"The server was stopped." in one.received["stderr"]


def test_a_connection_that_is_reset(url: str, echo_servers: Servers) -> None:
    server = echo_servers("blocking")
    with socket.create_connection(server.address), piped(url, "term", server.name) as one:
        one.send(b"never read")
        one.wait_for(b"waits", "stderr")
        server.stop()  # what waits unaccepted is reset by the kernel
        assert one.end() == 6


@pytest.mark.parametrize(("sig", "why"), [(signal.SIGTERM, "shutting down"), (signal.SIGKILL, "went away")])
def test_an_app_that_ends_meanwhile(program: Start, sig: signal.Signals, why: str) -> None:
    running = program()
    name = json.loads(output(running.url, "start", "asyncio", "--json"))["name"]
    with piped(running.url, "term", name) as one:
        one.wait_for(b"accepted", "stderr")
        running.signal(sig)
        assert one.end() == 3
        assert why in one.received["stderr"].decode()


def test_whoever_reads_may_have_enough(url: str, echo_server: EchoServer) -> None:
    with piped(url, "term", echo_server.name, "-q") as one:
        assert one.process.stdout
        one.process.stdout.close()
        one.send(b"hello")
        assert one.end() == 0
        assert one.received["stderr"] == b""


def test_more_terminals_than_may_be(program: Start) -> None:
    running = program("--terminals", "1")
    name = json.loads(output(running.url, "start", "asyncio", "--json"))["name"]
    with piped(running.url, "term", name) as one:
        one.wait_for(b"accepted", "stderr")
        assert "--terminals" in error_output(running.url, "term", name, code=1)


def test_what_a_later_app_says_besides_is_ignored() -> None:
    from websockets.sync.server import ServerConnection, serve

    def later(page: ServerConnection) -> None:
        page.send('{"type":"opened","server":"x","local":"1","peer":"2","credit":262144,"more":1}')
        page.send('{"type":"accepted","connection":"1-1","more":{"deep":[]}}')
        page.send('{"type":"weather","is":"fine"}')
        page.send(b"hello")
        page.send('{"type":"eof","more":null}')
        page.recv()
        page.close(1000)

    with serve(later, "127.0.0.1", 0, subprotocols=["echodeck.v1"]) as server:  # type: ignore[list-item]
        threading.Thread(target=server.serve_forever).start()
        done = run(f"http://127.0.0.1:{server.socket.getsockname()[1]}", "term", "x")
        server.shutdown()
    assert (done.returncode, done.stdout) == (0, b"hello")
    assert b"accepted as connection 1-1" in done.stderr
