"""The same with coroutines.

A coroutine a client reads like blocking code, and the event loop is the selector. An error in a
forgotten task goes unseen.
"""

import asyncio
import socket

from servers._contract import Options


async def echo(connection: socket.socket, options: Options) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        while data := await loop.sock_recv(connection, options.recv_size):
            await loop.sock_sendall(connection, data)


def keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """Until it is done: the loop itself has only weak references to its tasks."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def serve(listener: socket.socket, options: Options) -> None:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    tasks: set[asyncio.Task[None]] = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        keep(tasks, asyncio.create_task(echo(connection, options)))
