"""``echodeck serve`` and strangers on its page's port: large bodies, endless headers, requests that are cut off."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx

from tests.conftest import ECHODECK, Program
from tests.helpers import PATIENCE, until
from tests.programs import Start, make, states


def test_a_large_body_gets_its_answer_over_a_real_connection(program: Start) -> None:
    running = program()
    for content in (b"x" * 10_000_000, iter([b"x" * 100_000] * 100)):
        response = httpx.post(f"{running.url}/servers", content=content, headers={"content-type": "application/json"})
        assert response.status_code == 413
    assert httpx.get(f"{running.url}/healthz").status_code == 200


async def test_a_request_that_is_cut_off_does_nothing(program: Start) -> None:
    running = program()
    made = make(running, "asyncio")
    for path, body in (("/ui/servers", b"variant=asyncio&port=2002"), (f"/servers/{made['name']}/stop", b"{")):
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 1}\r\n"
            client.send(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode() + body)
    assert states(running) == {made["name"]: "running"}
    assert states(running) == {made["name"]: "running"}


def test_endless_headers_are_refused(program: Start) -> None:
    running = program()
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with suppress(ConnectionError):
            for _ in range(100):
                client.send(b"x" * 65_536)
        with suppress(ConnectionError):
            assert client.recv(100).startswith(b"HTTP/1.1 431 ")
    assert httpx.get(f"{running.url}/healthz", headers={"x-long": "x" * 60_000}).status_code == 200


async def test_strangers_that_hold_the_pages_connections_spin_no_loop(program: Start) -> None:
    command = ("sh", "-c", 'ulimit -n 200; exec "$@"', "sh", ECHODECK)
    running, twin = program(command=command), program(command=command)
    before = cpu_seconds(running), cpu_seconds(twin)
    with ExitStack() as held:
        strangers = [
            held.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE))
            for _ in range(300)
        ]
        await until(lambda: hung_up(strangers[-1]), "the last of them is hung up")
        await asyncio.sleep(1)  # for which a loop that spins would take a processor
        taken, idle = cpu_seconds(running) - before[0], cpu_seconds(twin) - before[1]
        assert taken < idle + 0.5
    await until(lambda: answers(running), "the page answers again")
    assert len(running.end()) < 2000


def hung_up(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def answers(running: Program) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{running.url}/healthz").status_code == 200
    return False


def cpu_seconds(running: Program) -> float:
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
