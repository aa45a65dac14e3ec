"""Coroutines with contained errors.

Each client's coroutine catches and logs its own errors and always closes its connection: boom hurts only
its own client.
"""

import asyncio
import logging
import socket

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(boom=True)

log = logging.getLogger(__name__)


async def echo(connection: socket.socket, address: object, options: Options) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        try:
            while data := await loop.sock_recv(connection, options.recv_size):
                if data == b"boom\n":
                    raise RuntimeError("boom")
                await loop.sock_sendall(connection, data)
        except Exception:
            log.exception("the client from %s failed", address)


def keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """Until it is done: the loop itself has only weak references to its tasks."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def serve(listener: socket.socket, options: Options) -> None:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    tasks: set[asyncio.Task[None]] = set()
    while True:
        connection, address = await loop.sock_accept(listener)
        keep(tasks, asyncio.create_task(echo(connection, address, options)))
