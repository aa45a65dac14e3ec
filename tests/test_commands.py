"""The command line against a real app: what it says, and how it ends."""

from __future__ import annotations

import http.server
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import echodeck
from app.console.figures import idle, rtt, size, span
from app.console.tables import encode_json, escape, escape_line
from echodeck import EchoServer
from tests.browsing import eventually
from tests.commanding import error_output, output, piped, run, terminal
from tests.conftest import ECHODECK, Program

Servers = Callable[..., EchoServer]
Start = Callable[..., Program]

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def url(echodeck_app: echodeck.Client) -> str:
    return echodeck_app.url


# What it says


def test_a_pipe_gets_all_columns_and_a_line_for_each_server(url: str, echo_servers: Servers) -> None:
    made = [echo_servers("asyncio"), echo_servers("blocking", name="a" * 60)]
    head, *rows = output(url, "ls", COLUMNS="40").splitlines()
    assert head.split() == "NAME VARIANT STATE SINCE ADDRESS OPEN WAIT IN OUT EXC LOOP".split()
    assert [row.split()[0] for row in rows] == [one.name for one in made]
    assert all(row == row.rstrip() for row in rows)


def test_a_narrow_terminal_loses_columns_and_no_name_is_cut(url: str, echo_servers: Servers) -> None:
    names = [echo_servers("asyncio").name, echo_servers("asyncio", name="n" * 45).name]
    with terminal(url, "ls") as screen:
        assert screen.end() == 0
        head, *rows = screen.text.splitlines()
        assert [row.split()[0] for row in rows] == names
        assert {"NAME", "STATE", "OPEN", "WAIT"} <= set(head.split())
        assert "VARIANT" not in head
        assert max(map(len, (head, *rows))) <= 80
    with terminal(url, "ls", columns=160) as screen:
        assert screen.end() == 0
        assert "VARIANT" in screen.text


def test_only_some_and_only_their_names(url: str, echo_servers: Servers) -> None:
    first, second, third = (echo_servers("asyncio").name for _ in range(3))
    assert output(url, "ls", "-q").split() == [first, second, third]
    assert output(url, "ls", "-q", third, first).split() == [third, first]
    assert json.loads(output(url, "ls", "-q", "--json")) == [first, second, third]


def test_nothing_is_said_on_stdout_of_nothing(url: str) -> None:
    done = run(url, "connections", "-q")
    assert (done.returncode, done.stdout) == (0, b"")
    done = run(url, "ls")
    assert (len(done.stdout.splitlines()), b"start asyncio" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "words", ["ls", "variants", "source asyncio", "connections", "exceptions", "top --once --interval 0.1", "show NAME"]
)
def test_everything_can_be_had_as_json_on_a_line(url: str, words: str, echo_server: EchoServer) -> None:
    answer = output(url, *words.replace("NAME", echo_server.name).split(), "--json")
    assert answer.count("\n") == 1
    json.loads(answer)


def test_show_has_the_settings_and_why_it_ended(url: str, echo_servers: Servers) -> None:
    server = echo_servers("accept-once", max_connections=7, restart="never")
    with socket.create_connection(server.address) as client:
        client.recv(1)
    shown = output(url, "show", server.name)
    rows = {row[:16].strip(): row[16:].strip() for row in shown.splitlines()}
    assert (rows["max connections"], rows["restart"], rows["address"]) == ("7", "never", f"127.0.0.1:{server.port}")
    assert rows["state"].startswith("exited ")
    assert rows["last end"]


def test_the_source_is_the_file(url: str) -> None:
    assert (
        output(url, "source", "blocking") == (Path(__file__).parent.parent / "servers/step_3_blocking.py").read_text()
    )


def test_sizes_and_times_are_short() -> None:
    assert [size(count) for count in (0, 999, 1000, 99_949, 99_950, 5 * 10**9)] == [
        "0B",
        "999B",
        "1.0kB",
        "99.9kB",
        "100kB",
        "5.0GB",
    ]
    assert [span(count) for count in (0.9, 59, 60, 3599, 3600, 86_400)] == [
        "0s",
        "59s",
        "1m00s",
        "59m59s",
        "1h00m",
        "1d00h",
    ]
    assert [idle(count) for count in (None, 0.0, 9.94, 9.96, 61.0)] == ["-", "0.0s", "9.9s", "9s", "1m01s"]
    assert [rtt(count) for count in (None, 28, 1200, 340_000)] == ["-", "28us", "1.2ms", "340ms"]


def test_no_control_byte_reaches_a_terminal() -> None:
    nasty = "\x1b[31m\x9b0m\x07\r\u202e\ud800ok é\n"
    assert escape(nasty) == "\\x1b[31m\\x9b0m\\x07\\r\\u202e\\ud800ok é\n"
    assert escape_line(nasty).endswith("ok é\\n")
    told = encode_json({"said": nasty})
    assert json.loads(told) == {"said": nasty}
    assert told.isprintable()
    assert "é" in told


# What it does


def test_a_server_is_started_changed_stopped_started_and_removed(url: str, echodeck_app: echodeck.Client) -> None:
    assert output(url, "start", "asyncio", "--name", "mine", "--max-connections", "5", "--no-nodelay").startswith(
        "mine listens on 127.0.0.1:"
    )
    spec = echodeck_app.server("mine").spec
    assert (spec["max_connections"], spec["nodelay"], spec["idle_timeout"]) == (5, False, None)
    output(url, "change", "mine", "--max-connections", "none", "--idle-timeout", "1.5", "--backlog", "3")
    spec = echodeck_app.server("mine").spec
    assert (spec["max_connections"], spec["idle_timeout"], spec["backlog"], spec["nodelay"]) == (None, 1.5, 3, False)
    assert "mine is stopped" in output(url, "stop", "mine")
    assert "mine listens" in output(url, "start", "mine")
    assert "mine listens" in output(url, "restart", "mine")
    assert output(url, "rm", "mine") == "mine was removed\n"
    assert output(url, "ls", "-q").split() == []


def test_several_have_their_turn_whatever_becomes_of_one(url: str, echo_servers: Servers) -> None:
    first, last = echo_servers("asyncio"), echo_servers("asyncio")
    done = run(url, "stop", first.name, "nobody", last.name, "--json")
    assert (done.returncode, b"'nobody'" in done.stderr) == (4, True)
    assert [json.loads(told)["state"] for told in done.stdout.splitlines()] == ["stopped", "stopped"]
    assert (first.now().state, last.now().state) == ("stopped", "stopped")


def test_connections_are_listed_and_hung_up(url: str, echo_server: EchoServer) -> None:
    with socket.create_connection(echo_server.address) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        head, row = output(url, "connections", "--server", echo_server.name).splitlines()
        found = dict(zip(head.split(), row.split(), strict=True))
        assert (found["PEER"], found["STATE"], found["IN"], found["OUT"]) == (
            f"127.0.0.1:{client.getsockname()[1]}",
            "open",
            "5B",
            "5B",
        )
        assert found["ID"] in output(url, "connections", "-q").split()
        assert "no-such" in error_output(url, "hangup", "no-such", found["ID"], code=4)
        client.settimeout(10)
        assert client.recv(1) == b""


def test_who_waits_cannot_be_hung_up(url: str, echo_servers: Servers) -> None:
    blocking = echo_servers("blocking")
    with socket.create_connection(blocking.address), socket.create_connection(blocking.address):
        states = {one["id"]: one["state"] for one in json.loads(output(url, "connections", "--json"))}
        (waiting,) = [id for id, state in states.items() if state == "waiting"]
        assert "accept" in error_output(url, "hangup", waiting, code=1)


def test_a_bar_for_many_is_on_the_terminal_and_nowhere_else(url: str, echo_servers: Servers) -> None:
    names = [echo_servers("asyncio").name for _ in range(3)]
    assert run(url, "stop", *names).stderr == b""
    with terminal(url, "rm", *names) as screen:
        assert screen.end() == 0
        assert "removing" in screen.text
        assert all(f"{name} was removed" in screen.text for name in names)


def test_a_drain_shows_that_it_lasts(url: str, echo_server: EchoServer) -> None:
    with (
        socket.create_connection(echo_server.address),
        terminal(url, "stop", echo_server.name, "--drain", "60") as screen,
    ):
        screen.wait_for("stopping")
        screen.type(b"\x03")
        assert screen.end() == 130


# How it ends


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ("show nobody", 4, "nobody"),
        ("source nothing", 4, "nothing"),
        ("connections --server nobody", 4, "nobody"),
        ("exceptions --server nobody", 4, "nobody"),
        ("exceptions --follow --server nobody", 4, "nobody"),
        ("term nobody", 4, "nobody"),
        ("start nothing", 2, "nothing"),
        ("start asyncio --backlog 0", 2, "backlog"),
        ("start asyncio --port 70000", 2, "port"),
        ("start asyncio --idle-timeout soon", 2, "idle_timeout"),
        ("start asyncio --idle-timeout nan", 2, "idle_timeout"),
        ("start asyncio --port 22", 1, "port"),
        ("start asyncio --host 0.0.0.0", 1, "0.0.0.0"),
        ("change NAME", 2, "--help"),
        ("change NAME --port 2000", 1, "stop"),
        ("stop NAME --drain -1", 2, "drain"),
        ("stop NAME --drain nan", 2, "drain"),
        ("stop NAME --drain inf", 2, "drain"),
        ("exceptions --forget --type ValueError", 2, "--forget"),
        ("top --sort size", 2, "size"),
        ("ls --url ftp://localhost", 2, "ftp://localhost"),
        ("ls --url http://[::1", 2, "http://[::1"),
        ("ls --url http://localhost:99999", 2, "99999"),
        ("ls --token ü", 2, "--token"),
    ],
)
def test_each_failure_has_its_code_and_its_reason(
    url: str, words: str, code: int, why: str, echo_server: EchoServer
) -> None:
    assert why in error_output(url, *words.replace("NAME", echo_server.name).split(), code=code)
    assert echo_server.now().state == "running"


@pytest.mark.parametrize(
    "words",
    ["ls", "show x", "stop x", "connections -w", "exceptions -f", "exceptions --forget", "term x", "top", "top --once"],
)
def test_an_app_that_is_not_there_is_said_so(words: str) -> None:
    said = error_output(NOWHERE, *words.split(), code=3)
    assert (NOWHERE in said, said.count("\n")) == (True, 1)


def test_an_argument_that_is_no_utf_8(url: str) -> None:
    error_output(url, "stop", b"\xff", code=2)
    error_output(url, "term", b"\xff", code=2)


def test_a_token_is_asked_for_and_one_that_reads_only_changes_nothing(program: Start) -> None:
    running = program(ECHODECK_TOKEN="owner", ECHODECK_VIEWER_TOKEN="viewer")
    for words in ("ls", "start asyncio", "term x", "exceptions -f"):
        assert "ECHODECK_TOKEN" in error_output(running.url, *words.split(), code=5)
    output(running.url, "ls", ECHODECK_TOKEN="viewer")
    error_output(running.url, "start", "asyncio", code=5, ECHODECK_TOKEN="viewer")
    name = json.loads(output(running.url, "start", "asyncio", "--json", "--token", "owner"))["name"]
    error_output(running.url, "term", name, code=5, ECHODECK_TOKEN="viewer")
    assert output(running.url, "term", name, "--eof", input=b"hi", ECHODECK_TOKEN="owner") == "hi"


def test_the_config_file_says_where_and_who(program: Start, tmp_path: Path) -> None:
    running = program(ECHODECK_TOKEN="owner")
    config = tmp_path / "echodeck" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'url = "{running.url}"\ntoken = "owner"\n')
    output("", "ls", XDG_CONFIG_HOME=str(tmp_path))
    config.write_text("colour = 3")
    assert "colour" in error_output("", "ls", code=2, XDG_CONFIG_HOME=str(tmp_path))
    config.write_text("url = ")
    assert str(config) in error_output("", "ls", code=2, XDG_CONFIG_HOME=str(tmp_path))


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that knows nothing of Echodeck, and answers everything."""

    answer = b""
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [(200, b"<html>"), (200, b'{"items": [{"name": 3}], "next": null}'), (200, b"[]"), (404, b"{}"), (302, b"")],
)
def test_what_is_no_echodeck_is_not_taken_for_one(
    stranger: str, answer: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stranger, "status", answer[0])
    monkeypatch.setattr(Stranger, "answer", answer[1])
    for words in ("ls", "show x", "top --once", "term x", "start asyncio"):
        assert "no Echodeck" in error_output(stranger, *words.split(), code=3), words


def test_a_closed_pipe_is_quiet(url: str) -> None:
    for words in (["variants"], ["variants", "--json"], ["source", "asyncio"]):
        with piped(url, *words) as one:
            assert one.process.stdout
            one.process.stdout.close()
            assert one.end() == 0
            assert one.received["stderr"] == b""


def test_a_full_disk_is_said_so(url: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [ECHODECK, "variants", "--url", url], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"echodeck: the answer cannot be written: No space left on device\n")


def test_letters_that_the_terminal_has_not_are_no_reason_to_fail(url: str) -> None:
    with closing(echodeck.Client(url)) as deck:
        lessons = "".join(one.lesson for one in deck.variants())
    answer = output(url, "variants", PYTHONIOENCODING="ascii")
    assert answer.isascii()
    assert len(lessons) < len(answer)


# Completion


def completed(url: str, line: str) -> set[str]:
    words = line.split(" ")
    done = subprocess.run(
        [ECHODECK],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ECHODECK_")},
            "ECHODECK_URL": url,
            "_ECHODECK_COMPLETE": "complete_bash",
            "COMP_WORDS": line.replace(" ", "\n"),
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_the_shell_completes_what_the_app_has(url: str, echo_servers: Servers) -> None:
    asyncio = echo_servers("asyncio", name="asyncio-mine")
    stopped = echo_servers("asyncio", name="second")
    stopped.stop()
    assert completed(url, "echodeck stop ") == {"asyncio-mine", "second"}
    assert completed(url, "echodeck stop second a") == {"asyncio-mine"}
    assert completed(url, "echodeck source acc") == {"accept-once"}
    assert completed(url, "echodeck start s") == {"selectors", "second"}
    assert "asyncio-mine" not in completed(url, "echodeck start a")
    assert completed(url, "echodeck connections --server s") == {"second"}
    with socket.create_connection(asyncio.address):
        assert completed(url, "echodeck hangup ") == {one.id for one in asyncio.connections()}
    assert completed(NOWHERE, f"echodeck term --url {url} sec") == {"second"}


def test_the_shell_completes_nothing_without_an_app() -> None:
    assert completed(NOWHERE, "echodeck stop ") == set()
    assert "exceptions" in completed(NOWHERE, "echodeck ex")


# What a stranger broke


@pytest.mark.parametrize("words", ["ls", "variants", "export", "exceptions", "top --once --interval 0.1"])
def test_a_closed_stdout_is_as_if_nobody_read(url: str, words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {ECHODECK} {words} --url {url} >&-"], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


@pytest.mark.parametrize("words", ["show", "stop", "rm", "hangup", "source"])
@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_no_path_can_have_is_unknown(url: str, words: str, name: str) -> None:
    done = run(url, words, name)
    assert (done.returncode, f"'{name}'".encode() in done.stderr) == (4, True)


def test_a_server_that_is_there_is_not_started_with_other_settings(url: str, echo_server: EchoServer) -> None:
    assert f"echodeck change {echo_server.name}" in error_output(
        url, "start", echo_server.name, "--backlog", "3", code=2
    )


def test_a_wrong_token_is_told_from_none(program: Start) -> None:
    running = program(ECHODECK_TOKEN="secret")
    assert "asks for its token" in error_output(running.url, "ls", code=5)
    assert "not the app's token" in error_output(running.url, "ls", "--token", "wrong", code=5)
    assert "letters that no token has" in error_output(running.url, "ls", "--token", "a\nb", code=2)


def test_a_quiet_app_leaves_its_servers_errors_to_the_page(program: Start) -> None:
    for options, loud in (((), True), (("--quiet",), False)):
        running = program(*options)
        with echodeck.Client(running.url) as deck:
            server = deck.create("asyncio")
            with socket.create_connection(server.address, timeout=10) as client:
                client.sendall(b"boom\n")
                assert client.recv(1) == b""
            assert [one.type for one in deck.exceptions(server.name)] == ["RuntimeError"]
            forgetful = deck.create("asyncio-basic")
            with socket.create_connection(forgetful.address, timeout=10) as client:
                client.sendall(b"x" * 100)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            eventually(lambda name=forgetful.name: deck.exceptions(name), lambda: "the reset was not seen")
        if loud:
            running.wait_for("never retrieved")  # the loop says it after the exception is kept
        log = running.end()
        assert ("RuntimeError: boom" in log) is loud
        assert ("never retrieved" in log) is loud
