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


async def serve(listener: socket.socket, options: Options) -> None:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    tasks = set()  # the loop itself keeps only weak references to tasks
    while True:
        connection, _ = await loop.sock_accept(listener)
        task = asyncio.create_task(echo(connection, options))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
