"""A closed loop of echo clients in a process of its own.

    python -m tests.bench.load PORT CONNECTIONS BYTES SECONDS

Each connection sends a message and waits until as many bytes have come back; prints messages per second.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time


def load(port: int, connections: int, size: int, seconds: float) -> float:
    """Messages per second, all connections together."""
    message = b"x" * (size - 1) + b"\n"
    selector = selectors.DefaultSelector()
    missing: dict[socket.socket, int] = {}
    for _ in range(connections):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(client, selectors.EVENT_READ)
        missing[client] = size
        client.sendall(message)
    done = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            received = len(client.recv(1 << 20))
            assert received, "the server hung up"
            missing[client] -= received
            if missing[client] <= 0:
                done += 1
                missing[client] = size
                client.sendall(message)
    rate = done / (time.perf_counter() - began)
    for client, owed in missing.items():  # let the server end each in peace
        while owed > 0 and (received := len(client.recv(1 << 20))):
            owed -= received
        client.close()
    selector.close()
    return rate


if __name__ == "__main__":
    port, connections, size, seconds = sys.argv[1:]
    print(load(int(port), int(connections), int(size), float(seconds)))  # noqa: T201
