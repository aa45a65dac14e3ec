"""The listener that variants get: its tricks, apart from any server."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest

from app.loop.worker import Worker
from servers import Connection, Listener
from tests.helpers import PATIENCE, refuses


class Watching:
    """Lets everybody in, up to ``most``."""

    descriptor_bound = 1_000_000

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.came: list[Connection] = []
        self.left: list[Connection] = []

    def admits(self, connection: Connection, address: object) -> bool:
        self.came.append(connection)
        return len(self.came) <= self.most

    def closes(self, connection: Connection) -> None:
        assert connection.fileno() >= 0
        self.left.append(connection)

    def turned_away(self, error: OSError) -> None:
        raise AssertionError(error)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.watcher = Watching()
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def connect(listener: Listener) -> socket.socket:
    return socket.create_connection(listener.getsockname(), timeout=PATIENCE)


def test_a_connection_tells_once_that_it_closes(listener: Listener) -> None:
    with connect(listener):
        connection, address = listener.accept()
        assert address[0] == "127.0.0.1"
        with connection:
            pass
        connection.close()
    assert listener.watcher.left == listener.watcher.came == [connection]  # type: ignore[attr-defined]


def test_a_connection_that_is_detached_has_left(listener: Listener) -> None:
    with connect(listener):
        connection, _ = listener.accept()
        with connection, socket.socket(fileno=connection.detach()):
            assert listener.watcher.left == [connection]  # type: ignore[attr-defined]
    assert listener.watcher.left == [connection]  # type: ignore[attr-defined]


def test_who_is_turned_away_is_never_seen(listener: Listener) -> None:
    listener.watcher = Watching(most=0)
    listener.setblocking(False)
    with connect(listener) as client:
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert client.recv(1) == b""


def test_a_storm_of_clients_to_turn_away_lets_the_loop_turn(listener: Listener) -> None:
    listener.watcher = watching = Watching(most=0)
    listener.setblocking(False)
    clients = [connect(listener) for _ in range(100)]
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert len(watching.came) == 64
    for client in clients:
        client.close()


def test_the_backlog_is_the_servers_whoever_asks(listener: Listener) -> None:
    listener.backlog = 3
    listener.listen(4096)
    limit = int.from_bytes(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 216)[28:32], "little")
    assert limit == 3


async def test_a_retired_listener_refuses_clients_while_its_accept_stays_blocked(listener: Listener) -> None:
    port = listener.getsockname()[1]
    worker = Worker("accept", listener.accept)
    worker.start()
    await asyncio.wait({worker.ended}, timeout=0.05)
    listener.retire()
    assert await refuses(port)
    await asyncio.wait({worker.ended}, timeout=0.05)
    assert not worker.ended.done()
    listener.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError, match=r".") as ended:
        await asyncio.wait_for(worker.ended, PATIENCE)
    assert ended.value.errno == errno.EINVAL


def test_a_retired_listener_resets_who_waits_and_has_nobody(listener: Listener) -> None:
    listener.setblocking(False)
    with connect(listener) as client:
        listener.retire()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(BlockingIOError):
        listener.accept()
