"""The bridge against websockify: a page's messages through a WebSocket to an echo server and back.

    python -m tests.bench.bridge PORT PATH SESSIONS BYTES SECONDS PID

is a closed loop of pages in a process of its own: each sends a message and waits until as many bytes have come back. It
prints messages per second, the seconds that opening the sessions took, and what ``/proc`` says they cost in memory.

Behind websockify, on its processor, is the fastest echo server that Python has, which does nothing for its clients;
behind ours is the variant ``asyncio``, in the same loop, watched.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.kernel.ports import free_ports

ROUNDS = 5
SECONDS = 1.0
LOADS = ((50, 1024), (500, 1024), (10, 65536))
SETTLE = 1.0
"""Seconds after a round in which what it left behind ends: websockify has a process for each session."""

console = Console()


class Measured(NamedTuple):
    rate: float
    opened_in: float
    kib_each: float


def load(port: int, path: str, sessions: int, size: int, seconds: float, pid: int) -> Measured:
    """``pid`` is the bridge's process, which is asked for its memory and that of its children."""
    head = struct.pack("!BBH", 0x82, 0xFE, size) if size < 65536 else struct.pack("!BBQ", 0x82, 0xFF, size)
    message = head + bytes(4) + b"x" * size  # a mask of zeros changes nothing
    before, began = memory(pid), time.perf_counter()
    opened = [open_one(port, path) for _ in range(sessions)]
    opened_in = time.perf_counter() - began
    each = (memory(pid) - before) / sessions
    selector = selectors.DefaultSelector()
    missing: dict[socket.socket, Frames] = {}
    for page in opened:
        selector.register(page, selectors.EVENT_READ)
        missing[page] = Frames()
        page.sendall(message)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1):
            page = key.fileobj
            assert isinstance(page, socket.socket)
            received = page.recv(1 << 20)
            assert received, "the bridge hung up"
            if missing[page].feed(received) >= size:
                missing[page].payload -= size
                done += 1
                page.sendall(message)
    rate = done / (time.perf_counter() - began)
    for page in opened:
        page.close()
    selector.close()
    return Measured(rate, opened_in, each)


def open_one(port: int, path: str) -> socket.socket:
    page = socket.create_connection(("127.0.0.1", port))
    page.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    page.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += page.recv(1)
    assert b" 101 " in head, head
    return page


class Frames:
    """Counts the payload of what a server sends."""

    def __init__(self) -> None:
        self.payload = 0
        self._left = 0
        self._head = b""

    def feed(self, data: bytes) -> int:
        at, end = 0, len(data)
        while at < end:
            if self._left:
                taken = min(self._left, end - at)
                self._left -= taken
                self.payload += taken
                at += taken
                continue
            head = self._head + data[at : at + 10]
            short = head[1] & 127 if len(head) > 1 else 0
            start = {126: 4, 127: 10}.get(short, 2)
            if len(head) < start:
                self._head = head
                break
            at += start - len(self._head)
            self._head = b""
            self._left = int.from_bytes(head[2:start], "big") if short > 125 else short
        return self.payload


def memory(pid: int) -> float:
    """KiB that a process and its children have for themselves, a part of what they share included."""
    total = 0.0
    for one in [pid, *children(pid)]:
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def echo(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def against_websockify(api: httpx.Client, pid: int, on: Callable[..., subprocess.Popen[str]]) -> None:
    name = (
        api.post("/servers", json={"variant": "asyncio", "port": 0, "backlog": 4096}).raise_for_status().json()["name"]
    )
    here = [sys.executable, "-m", "tests.bench.bridge"]
    behind, theirs = free_ports(2)
    server = on(0, *here, str(behind))
    websockify = on(0, str(Path(sys.executable).with_name("websockify")), f"127.0.0.1:{theirs}", f"127.0.0.1:{behind}")
    time.sleep(2)
    table = Table("WebSocket bridge", *(f"{sessions} × {size // 1024} KiB" for sessions, size in LOADS))
    rates: dict[str, list[str]] = {"messages a second": [], "× websockify": []}
    opened: list[tuple[float, float]] = []
    memories: list[tuple[float, float]] = []
    for sessions, size in LOADS:
        rounds = []
        for _ in track(range(ROUNDS), f"{sessions} × {size}", console=console, transient=True):
            pair = []
            for port, path, process in (
                (api.base_url.port, f"/servers/{name}/terminal", pid),
                (theirs, "/", websockify.pid),
            ):
                printed, _ = on(1, *here, str(port), path, *map(str, (sessions, size, SECONDS, process))).communicate()
                pair.append(Measured(*json.loads(printed)))
                while children(websockify.pid):
                    time.sleep(0.1)
                time.sleep(SETTLE)
            rounds.append(pair)
        rates["messages a second"].append(f"{statistics.median(ours.rate for ours, _ in rounds):,.0f}")
        rates["× websockify"].append(f"{statistics.median(ours.rate / other.rate for ours, other in rounds):.2f}")
        if sessions == max(count for count, _ in LOADS):
            opened = [(ours.opened_in, other.opened_in) for ours, other in rounds]
            memories = [(ours.kib_each, other.kib_each) for ours, other in rounds]
    for label, cells in rates.items():
        table.add_row(label, *cells)
    console.print(table)
    sessions = max(count for count, _ in LOADS)
    console.print(
        f"{sessions} sessions opened in {statistics.median(ours for ours, _ in opened):.2f} s, websockify "
        f"{statistics.median(other for _, other in opened):.2f} s: "
        f"× {statistics.median(other / ours for ours, other in opened):.1f} as fast"
    )
    # The first round: what it took is kept for those after it.
    console.print("a session takes {:,.0f} KiB, with websockify {:,.0f} KiB".format(*memories[0]))
    for ended in (server, websockify):
        ended.kill()
        ended.communicate()


def main() -> None:
    if len(sys.argv) == 2:
        asyncio.run(echo(int(sys.argv[1])))
        return
    port, path, sessions, size, seconds, pid = sys.argv[1:]
    print(json.dumps(load(int(port), path, int(sessions), int(size), float(seconds), int(pid))))  # noqa: T201


if __name__ == "__main__":
    main()
