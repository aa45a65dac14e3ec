"""The same with streams.

A StreamReader reads ahead and a StreamWriter keeps what the kernel does not take: easy to use, and
without drain a client who never reads would fill the memory.
"""

import asyncio
import logging
import socket

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(boom=True)

log = logging.getLogger(__name__)


async def echo(connection: socket.socket, address: object, options: Options) -> None:
    with connection:
        try:
            reader, writer = await asyncio.open_connection(sock=connection)
            # From now on drain waits until everything is the kernel's, and not only until less than 64 KiB are left.
            writer.transport.set_write_buffer_limits(high=0)
            try:
                while data := await reader.read(options.recv_size):
                    if data == b"boom\n":
                        raise RuntimeError("boom")
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.transport.abort()  # nothing is left to send, or nobody to send it to
        except Exception:
            log.exception("the client from %s failed", address)


async def serve(listener: socket.socket, options: Options) -> None:
    """As ``asyncio.start_server``, which on uvloop would accept behind the listener's back."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    async with asyncio.TaskGroup() as clients:
        while True:
            connection, address = await loop.sock_accept(listener)
            clients.create_task(echo(connection, address, options))
