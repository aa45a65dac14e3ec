"""Servers declared in a file: what is wrong with one, ``echodeck apply`` and ``export``."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import echodeck as library
from app.commands.declare import carry_out
from app.declaring import declared
from app.declaring.declared import Undeclarable
from app.declaring.plan import Present, make
from app.kernel.ports import free_ports
from app.supervising.lifecycle import State
from app.supervising.spec import ServerSpec
from tests.conftest import Program
from tests.declaring import echodeck, entry, held_port, servers, states
from tests.helpers import Client

Start = Callable[..., Program]

# Reading and writing

WRONG = [
    ("no TOML", "[[server]]\nport = 1\nvariant asyncio\n", ["f: is no TOML: Expected '=' after a key in a key/value pair (at line 3, column 9)"]),
    ("nothing", "", ["f: declares no server; for none, write server = []"]),
    ("one bracket", "[server]\nport = 1\n", ["f: write [[server]], with two brackets"]),
    ("no table", "server = [1]\n", ["f: server 1: should be a table"]),
    ("something else", "server = []\nservers = 1\n", ["f: servers: there is no such thing here; servers are declared by [[server]]"]),
    ("no port", '[[server]]\nvariant = "asyncio"\n', ["f:1: server 1: port is missing"]),
    ("a port that is none", '[[server]]\nvariant = "asyncio"\nport = 70000\n', ["f:1: server 1 (asyncio-70000): port = 70000 should be less than or equal to 65535"]),
    ("a port in quotes", '[[server]]\nvariant = "asyncio"\nport = "80"\n', ['f:1: server 1 (asyncio-80): port = "80" should be a valid integer']),
    ("an unknown variant", '[[server]]\nvariant = "async"\nport = 1\n', ['f:1: server 1 (async-1): variant = "async" should be one of asyncio, blocking']),
    ("a misspelt field", '[[server]]\nvariant = "asyncio"\nport = 1\nidle_timout = 3\n', ["f:1: server 1 (asyncio-1): idle_timout: there is no such field; idle_timeout?"]),
    ("a policy that is none", '[[server]]\nvariant = "asyncio"\nport = 1\nrestart = "ever"\n', ["f:1: server 1 (asyncio-1): restart = \"ever\" should be 'never', 'on-failure' or 'always'"]),
    ("no flag", '[[server]]\nvariant = "asyncio"\nport = 1\nstart = "no"\n', ['f:1: server 1 (asyncio-1): start = "no" should be a valid boolean']),
    ("an impossible name", '[[server]]\nvariant = "asyncio"\nport = 1\nname = "a\\nb"\n', ["f:1: server 1 (a\\nb): name = \"a\\nb\" should be 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit"]),
    ("an impossible host", '[[server]]\nvariant = "asyncio"\nport = 1\nhost = "a b"\n', ['f:1: server 1 (asyncio-1): host = "a b" should be an address or a name of the app\'s machine']),
    ("any port without a name", '[[server]]\nvariant = "asyncio"\nport = 0\n', ["f:1: server 1: port = 0 needs a name; else nobody could say tomorrow which server is meant"]),
    ("a name twice", '[[server]]\nvariant = "asyncio"\nport = 1\n\n[[server]]\nvariant = "blocking"\nport = 2\nname = "asyncio-1"\n', ["f:5: server 2 (asyncio-1): has the same name as server 1 (asyncio-1); names are unique"]),
    ("a port twice", '[[server]]\nvariant = "asyncio"\nport = 1\n[[server]]\nvariant = "blocking"\nport = 1\n', ["f:4: server 2 (blocking-1): 127.0.0.1 port 1 is that of server 1 (asyncio-1) too; choose another port"]),
    ("a port twice, by another address", '[[server]]\nvariant = "asyncio"\nport = 1\n[[server]]\nvariant = "blocking"\nport = 1\nhost = "0.0.0.0"\n', ["f:4: server 2 (blocking-1): 0.0.0.0 port 1 is that of server 1 (asyncio-1) too; choose another port"]),
]  # fmt: skip


def read(text: str) -> list[ServerSpec]:
    return declared.read(text.encode(), "f", ["asyncio", "blocking"])


@pytest.mark.parametrize(("text", "said"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_a_file_that_has(text: str, said: list[str]) -> None:
    with pytest.raises(Undeclarable) as reason:
        read(text)
    assert reason.value.errors == said


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Undeclarable) as reason:
        read(
            '[[server]]\nvariant = "nothing"\nport = -1\nhots = ""\n[[server]]\n[[server]]\nvariant = "asyncio"\n'
            'port = 1\n[[server]]\nvariant = "asyncio"\nport = 1\n[elsewhere]\n'
        )
    assert [one.partition(" (")[0].partition(" =")[0] for one in reason.value.errors] == [
        "f: elsewhere: there is no such thing here; servers are declared by [[server]]",
        "f:1: server 1",
        "f:1: server 1",
        "f:1: server 1",
        "f:5: server 2: variant is missing",
        "f:5: server 2: port is missing",
        "f:9: server 4",
        "f:9: server 4",
    ]


def test_what_is_no_text_is_said_with_its_line() -> None:
    with pytest.raises(Undeclarable) as reason:
        declared.read(b"server = []\n# caf\xe9\n", "f")
    assert reason.value.errors == ["f:2: is not UTF-8"]


def test_a_byte_order_mark_and_windows_lines_do_no_harm() -> None:
    (spec,) = read('\ufeff[[server]]\r\nvariant = "asyncio"\r\nport = 1\r\n')
    assert spec == ServerSpec(variant="asyncio", port=1, name="asyncio-1")


def test_servers_that_take_turns_at_a_port_can_be_declared_if_only_one_is_to_run() -> None:
    text = '[[server]]\nvariant = "asyncio"\nport = 1\n[[server]]\nvariant = "blocking"\nport = 1\nstart = false\n'
    assert [one.name for one in read(text)] == ["asyncio-1", "blocking-1"]


def test_what_is_written_says_only_what_differs_from_its_default() -> None:
    one = Present("a", ServerSpec(variant="asyncio", port=1, idle_timeout=3), State.RUNNING, "running")
    two = Present("b", ServerSpec(variant="asyncio", port=2, nodelay=False), State.EXITED, "stopped")
    assert declared.write([one, two]) == (
        '[[server]]\nvariant = "asyncio"\nport = 1\nname = "a"\nidle_timeout = 3\n\n'
        '[[server]]\nvariant = "asyncio"\nport = 2\nname = "b"\nstart = false\nnodelay = false\n'
    )
    assert read(declared.write([])) == []


# As commands


def run(program: Program, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = echodeck(*arguments, "--url", program.url, stdin=stdin)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_applying_what_was_exported_has_nothing_to_do(program: Start) -> None:
    running = program()
    deck = httpx.Client(base_url=running.url)
    with deck:
        for body in (
            {"variant": "asyncio", "idle_timeout": 0.5, "nodelay": False, "restart": "always"},
            {"variant": "blocking", "name": "rests", "start": False, "max_buffer": 7},
            {"variant": "threads", "name": "was-stopped", "host": "::1", "max_connections": 3},
            {"variant": "accept-once", "name": "once"},
        ):
            deck.post("/servers", json={"port": 0, **body}).raise_for_status()
        deck.post("/servers/was-stopped/stop")
        with socket.create_connection(("127.0.0.1", deck.get("/servers/once").json()["port"])) as client:
            assert client.recv(1) == b""
    exported = run(running, "export").stdout
    assert exported.count("[[server]]") == 4
    before = servers(running)
    for options in (["--dry-run"], ["--prune"]):
        assert "Nothing to do: 4 already as declared." in run(running, "apply", "-", *options, stdin=exported).stdout
    assert states(running)["once"] == "exited"
    assert {name: one["since"] for name, one in servers(running).items()} == {
        name: one["since"] for name, one in before.items()
    }
    for name in before:
        httpx.delete(f"{running.url}/servers/{name}")
    run(running, "apply", "-", stdin=exported)
    assert run(running, "export").stdout == exported


def test_an_export_of_no_servers_is_a_file_too(program: Start, tmp_path: Path) -> None:
    running = program()
    run(running, "export", "--output", str(tmp_path / "f"))
    assert "Nothing to do" in run(running, "apply", str(tmp_path / "f")).stdout
    assert "--output" in run(running, "export", "--output", str(tmp_path / "no" / "f"), code=2).stderr


async def test_what_is_applied_is_so_and_a_second_time_there_is_nothing_to_do(program: Start, tmp_path: Path) -> None:
    running = program()
    one, two, three = free_ports(3)
    file = tmp_path / "servers.toml"
    file.write_text(entry("asyncio", one) + entry("blocking", two, name="b", start=False))
    planned = run(running, "apply", str(file), "--dry-run").stdout
    assert servers(running) == {}
    assert f"+ asyncio-{one}  create asyncio on 127.0.0.1 port {one}, and start" in planned
    assert "2 to create." in planned
    done = run(running, "apply", str(file)).stdout
    assert done.startswith(planned)
    assert done.removeprefix(planned).splitlines() == [f"created asyncio-{one}", "created b", f"started asyncio-{one}"]
    assert states(running) == {f"asyncio-{one}": "running", "b": "stopped"}
    assert "Nothing to do" in run(running, "apply", str(file)).stdout

    file.write_text(entry("threads", three, name="b", idle_timeout=3))
    done = run(running, "apply", str(file)).stdout
    assert f"    variant: blocking -> threads\n    port: {two} -> {three}\n    idle_timeout: none -> 3\n" in done
    assert f"Not declared, so left alone (--prune removes): asyncio-{one}" in done
    async with await Client.to(three) as client:
        await client.ask(b"x", b"x")
    assert "- asyncio" in run(running, "apply", str(file), "--prune").stdout
    assert states(running) == {"b": "running"}


async def test_two_servers_swap_their_ports(program: Start) -> None:
    running = program()
    one, two = free_ports(2)
    run(running, "apply", "-", stdin=entry("asyncio", one, name="a") + entry("selectors", two, name="b"))
    done = run(running, "apply", "-", stdin=entry("asyncio", two, name="a") + entry("selectors", one, name="b")).stdout
    assert done.count("with a stop and a start") == 2
    assert {name: (each["port"], each["state"]) for name, each in servers(running).items()} == {
        "a": (two, "running"),
        "b": (one, "running"),
    }


def test_a_limit_changes_without_a_stop(program: Start) -> None:
    running = program()
    (port,) = free_ports(1)
    run(running, "apply", "-", stdin=entry("asyncio", port, name="a"))
    with socket.create_connection(("127.0.0.1", port)) as client:
        done = run(running, "apply", "-", stdin=entry("asyncio", port, name="a", recv_size=10)).stdout
        assert "~ a  change\n    recv_size: 65536 -> 10\n" in done
        client.send(b"still")
        assert client.recv(10) == b"still"


def test_what_cannot_be_done_keeps_nothing_else_from_being_done(program: Start) -> None:
    running = program()
    (port,) = free_ports(1)
    with held_port() as taken:
        file = entry("asyncio", taken, name="a") + entry("asyncio", 80, name="p") + entry("asyncio", port, name="b")
        done = run(running, "apply", "-", stdin=file, code=1)
        assert "cannot start a: " in done.stderr
        assert "a program outside of this app" in done.stderr
        assert "cannot create p: Port 80 is outside the allowed range" in done.stderr
        assert "cannot start p: needs to create p first, which was not done" in done.stderr
        assert "3 of 6 steps could not be done" in done.stderr
        assert states(running) == {"a": "stopped", "b": "running"}
    told = json.loads(run(running, "apply", "-", "--json", stdin=file, code=1).stdout)
    assert [(one["step"], one["server"], one["done"]) for one in told["steps"]] == [
        ("create", "p", False),
        ("start", "a", True),
        ("start", "p", False),
    ]
    assert told["kept"] == ["b"]


def test_two_who_apply_the_same_at_once_both_succeed(program: Start, tmp_path: Path) -> None:
    running = program()
    file = tmp_path / "many.toml"
    file.write_text("".join(entry("asyncio", port) for port in free_ports(60)))
    with ThreadPoolExecutor(2) as both:
        ends = list(both.map(lambda _: echodeck("apply", file, "--url", running.url), range(2)))
    assert [(one.returncode, one.stderr) for one in ends] == [(0, "")] * 2
    assert list(states(running).values()) == ["running"] * 60


def test_a_server_of_another_kind_that_came_meanwhile_is_not_taken_for_ours(program: Start) -> None:
    running = program()
    with library.Client(running.url) as deck:
        spec = ServerSpec(variant="asyncio", port=free_ports(1)[0], name="mine", backlog=5)
        made = make([spec], [])
        deck.create("asyncio", name="mine")
        assert [reason is None for _, reason in carry_out(deck, made)] == [False, False]
        deck.remove("mine")
        deck.create("asyncio", name="mine", port=spec.port, backlog=5)
        assert [reason for _, reason in carry_out(deck, made)] == [None, None]


class LateDeck(library.Client):
    """A node of a fleet that does not know yet who has taken a name."""

    asked = 0

    def server(self, name: str) -> library.Server:
        self.asked += 1
        if self.asked < 3:
            raise library.Refused(404, "unknown", f"There is no server {name!r}.", {})
        return super().server(name)


def test_a_name_that_is_taken_and_not_known_yet_is_waited_for(program: Start) -> None:
    with LateDeck(program().url) as deck:
        spec = ServerSpec(variant="asyncio", port=free_ports(1)[0], name="mine")
        made = make([spec], [])
        deck.create("asyncio", name="mine", port=spec.port)
        assert [reason for _, reason in carry_out(deck, made)] == [None, None]
        assert deck.asked == 3


def test_a_file_that_makes_no_sense_changes_nothing(program: Start, tmp_path: Path) -> None:
    running = program()
    file = tmp_path / "f.toml"
    file.write_text(entry("asyncio", 8001) + entry("asynci", 8001) + entry("asyncio", 8002, backlog=0, nam="x"))
    done = run(running, "apply", str(file), code=2)
    assert len(done.stderr.splitlines()) == 3
    assert all(line.startswith(f"echodeck: {file}:") for line in done.stderr.splitlines())
    assert servers(running) == {}
    assert "cannot be read: No such file" in run(running, "apply", str(tmp_path / "none"), code=2).stderr


def test_a_file_is_checked_even_where_no_app_is() -> None:
    (port,) = free_ports(1)
    nowhere = ["--url", f"http://127.0.0.1:{port}"]
    assert "port is missing" in (wrong := echodeck("apply", "-", *nowhere, stdin='[[server]]\nvariant="x"')).stderr
    assert wrong.returncode == 2
    assert echodeck("apply", "-", *nowhere, stdin=entry("asyncio", 8001)).returncode == 3


def test_who_may_only_read_may_see_the_plan(program: Start) -> None:
    running = program(ECHODECK_TOKEN="secret", ECHODECK_VIEWER_TOKEN="look")
    file = entry("asyncio", free_ports(1)[0])
    assert "+ asyncio" in run(running, "apply", "-", "--dry-run", "--token", "look", stdin=file).stdout
    assert "reads only" in run(running, "apply", "-", "--token", "look", stdin=file, code=5).stderr
