"""A checker outside of a fleet, which connects everywhere all the time, and what it saw."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


class Record:
    """Who answered when: for each server, times (by the monotonic clock) and numbers of nodes, in order."""

    def __init__(self, answers: list[tuple[float, str, int]]) -> None:
        self.by_server: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for at, server, node in sorted(answers):
            self.by_server[server].append((at, node))

    def unlike(self, had: dict[str, list[int]]) -> dict[str, list[int]]:
        """Servers that were seen at nodes in an order in which they had not been there, by ``Etcd.had``: a node still
        answered when another one had begun to, or without ever having the server."""
        found = {}
        for server, answers in self.by_server.items():
            seen = [node for node, _ in itertools.groupby(node for _, node in answers)]
            left = iter(had[server])
            if not all(node in left for node in seen):  # each `in` goes on where the one before has stopped
                found[server] = seen
        return found

    def back_after(self, server: str, since: float, victim: int) -> float:
        """Seconds from then until another node than the victim answered."""
        return next(at for at, node in self.by_server[server] if at >= since and node != victim) - since

    def longest_gap(self, server: str, since: float, until: float) -> float:
        """Seconds without an answer, of this span."""
        return longest_gap([at for at, _ in self.by_server[server]], since, until)


def longest_gap(times: Sequence[float], since: float, until: float) -> float:
    within = [since, *(at for at in times if since < at < until), until]
    return max(later - earlier for earlier, later in itertools.pairwise(within))


async def _probe(server: str, host: str, port: int, number: int, answers: list[tuple[float, str, int]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                with socket.socket() as sock:
                    sock.setblocking(False)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    await loop.sock_connect(sock, (host, port))
                    await loop.sock_sendall(sock, b"x")
                    if await loop.sock_recv(sock, 100):
                        answers.append((time.monotonic(), server, number))
        await asyncio.sleep(max(0.0, began + 0.02 - loop.time()))


def _check(places: Sequence[tuple[str, str, int, int]], pipe: Any) -> None:
    answers: list[tuple[float, str, int]] = []

    async def main() -> None:
        probes = [asyncio.create_task(_probe(*place, answers)) for place in places]
        while not pipe.poll(0):
            await asyncio.sleep(0.05)
        for probe in probes:
            probe.cancel()
        await asyncio.wait(probes)

    asyncio.run(main())
    pipe.send(answers)


class Checker:
    def __init__(self, record: Callable[[], list[tuple[float, str, int]]]) -> None:
        self._record = record
        self._found: Record | None = None

    @property
    def record(self) -> Record:
        """Ends the checking."""
        self._found = self._found or Record(self._record())
        return self._found


@contextmanager
def checking(ports: dict[str, int], nodes: Sequence[int]) -> Iterator[Checker]:
    """Connect to these servers at the addresses of all these nodes, every 20 ms."""
    places = [(name, f"127.0.0.{number}", port, number) for name, port in ports.items() for number in nodes]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_check, args=(places, theirs), daemon=True)
    process.start()

    def end() -> list[tuple[float, str, int]]:
        ours.send("end")
        found: list[tuple[float, str, int]] = ours.recv()
        return found

    checker = Checker(end)
    try:
        yield checker
        _ = checker.record
    finally:
        process.kill()
        process.join()
