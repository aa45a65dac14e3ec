"""Bytes by chance, into everything that reads bytes: the variants, the bridge, the feed, the TOML reader, the state file."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.declaring import declared
from app.declaring.declared import Undeclarable
from app.history.schema import Saved, put_server
from app.history.state_file import StateUnusable
from app.history.store import Store
from app.supervising.spec import ServerSpec
from tests.bridged import V1
from tests.conftest import VARIANTS, Program
from tests.helpers import PATIENCE
from tests.programs import make, states

BY_CHANCE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

PIECES = st.lists(
    st.binary(max_size=300) | st.sampled_from([b"quit\n", b"boom\n", b"\xff\xf4", b"\0" * 70_000]), max_size=6
)


@pytest.fixture(scope="module")
def running() -> Iterator[Program]:
    program = Program("--state", ":memory:", "--quiet")
    yield program
    output = program.end()
    assert "Traceback" not in output, output


def let_in(running: Program, name: str, port: int) -> socket.socket:
    """A client; what was for one client is started again, once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        if states(running)[name] != "running":
            httpx.post(f"{running.url}/servers/{name}/start")
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:  # it has closed its listener, and is about to end
            assert time.monotonic() < deadline, f"{name} is {states(running)[name]} and takes nobody"


@pytest.mark.parametrize("clients", [15, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_bytes_by_chance_harm_no_variant(running: Program, variant: str, clients: int) -> None:
    made = make(running, variant, restart="never", max_buffer=100_000)
    name, port = str(made["name"]), int(str(made["port"]))

    @settings(BY_CHANCE, max_examples=clients)
    @given(PIECES, st.sampled_from(["close", "reset", "half-close"]))
    def send(pieces: list[bytes], how: str) -> None:
        with let_in(running, name, port) as client, suppress(OSError):
            for piece in pieces:
                client.sendall(piece)
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif how == "half-close":
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass

    send()
    assert states(running)[name] in {"running", "exited"}
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    httpx.delete(f"{running.url}/servers/{name}")


def handshake(running: Program, name: str, protocol: str) -> socket.socket:
    page = socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE)
    page.sendall(
        f"GET /servers/{name}/terminal HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n{protocol}\r\n".encode()
    )
    assert b" 101 " in page.recv(65536)
    return page


@pytest.mark.parametrize("protocol", ["", f"Sec-WebSocket-Protocol: {V1}\r\n"])
def test_bytes_by_chance_harm_no_terminal(running: Program, protocol: str) -> None:
    name = str(make(running, "asyncio", idle_timeout=60.0)["name"])
    frames = st.binary(max_size=200) | st.builds(
        lambda first, size, mask, rest: bytes((first, size | 0x80)) + mask + rest,
        st.integers(0, 255),
        st.integers(0, 127),
        st.binary(min_size=4, max_size=4),
        st.binary(max_size=130),
    )

    @BY_CHANCE
    @given(st.lists(frames, max_size=8))
    def send(pieces: list[bytes]) -> None:
        with handshake(running, name, protocol) as page, suppress(ConnectionError):
            for piece in pieces:
                page.sendall(piece)

    send()
    with handshake(running, name, "") as page:
        page.sendall(b"\x82\x85\0\0\0\0hello")
        heard = b""
        while b"hello" not in heard:
            heard += page.recv(65536)
    httpx.delete(f"{running.url}/servers/{name}")


@BY_CHANCE
@given(
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
    | st.from_regex(r"[0-9a-f]{8}-[0-9]{1,30}", fullmatch=True)
)
def test_a_place_by_chance_is_no_place_in_the_feed(running: Program, place: str) -> None:
    with httpx.stream("GET", f"{running.url}/events", headers={"Last-Event-ID": place}) as feed:
        assert feed.status_code == 200
        assert any("event: snapshot" in line for line in feed.iter_lines())


@BY_CHANCE
@given(
    st.binary(max_size=400)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text(alphabet='[]="server\n variantport10.{}#', max_size=200).map(str.encode)
)
def test_a_file_by_chance_declares_servers_or_says_why_not(content: bytes) -> None:
    found: list[ServerSpec] = []
    errors: list[str] = []
    try:
        found = declared.read(content, "f", list(VARIANTS))
    except Undeclarable as reason:
        errors = reason.errors or ["without a reason"]
    assert all(line.startswith("f") and line.isprintable() for line in errors)
    assert all(isinstance(one, ServerSpec) for one in found)


def a_state_file(path: Path) -> None:
    async def write() -> None:
        store = Store(path)
        store.open()
        for number in range(40):
            store.put(put_server(Saved(number, f"server-{number}", "{}" * 200, "running")))
        await store.close()

    asyncio.run(write())


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed % 5 else []) for seed in range(60)]
)
def test_a_state_file_that_chance_has_changed_is_read_or_set_aside(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "state"
    a_state_file(path)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 10, 1000])):
        at = chance.randrange(len(content))
        content[at : at + chance.randrange(1, 20)] = os.urandom(chance.randrange(0, 20))
    if chance.random() < 0.3:
        del content[chance.randrange(len(content)) :]
    path.write_bytes(content)

    async def read() -> int:
        store = Store(path)
        kept = store.open()
        store.put(put_server(Saved(1000, "new", "{}", "running")))
        await store.flush()
        await store.close()
        return len(kept.servers)

    refusal = ""
    try:
        assert asyncio.run(read()) <= 40
    except StateUnusable as reason:
        refusal = str(reason)
    if refusal:
        assert "another program" in refusal or "later version" in refusal
        return
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name FROM servers WHERE name = 'new'").fetchone() == ("new",)
    database.close()
