"""Coroutines stepped by hand.

Each client stays registered with one selector, and its coroutine goes on the moment it is ready: no task, no future and
no change of registration for each message.
"""

import logging
import socket
import types
from collections.abc import Generator
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE

from servers._contract import Options, Wire
from servers._waiting import LoopSelector

ON_THE_WIRE = Wire(boom=True)
ACCEPTS_A_TURN = 64

log = logging.getLogger(__name__)


@types.coroutine
def ready(event: int) -> Generator[int, None, None]:
    """Wait for it: what is yielded here comes out of the ``send`` that steps the coroutine."""
    yield event


async def echo(connection: socket.socket, address: object, options: Options) -> None:
    with connection:
        try:
            await ready(EVENT_READ)
            while data := connection.recv(options.recv_size):
                if data == b"boom\n":
                    raise RuntimeError("boom")
                while data:
                    try:
                        data = data[connection.send(data) :]
                    except BlockingIOError:
                        await ready(EVENT_WRITE)
                await ready(EVENT_READ)
        except Exception:
            log.exception("the client from %s failed", address)


async def serve(listener: socket.socket, options: Options) -> None:
    listener.setblocking(False)
    with LoopSelector() as selector:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in await selector.ready():
                if key.fileobj is listener:
                    with suppress(BlockingIOError):
                        for _ in range(ACCEPTS_A_TURN):
                            connection, address = listener.accept()
                            connection.setblocking(False)
                            client = echo(connection, address, options)
                            selector.register(connection, client.send(None), client)
                    continue
                try:
                    if (event := key.data.send(None)) != key.events:
                        selector.modify(key.fd, event, key.data)
                except StopIteration:
                    selector.unregister(key.fd)
