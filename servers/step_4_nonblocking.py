"""All clients at once, by polling.

No call blocks any more, so everybody is asked in turn, again and again: it works, and it burns a whole core.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(answers="until quit", clients="all at once")

log = logging.getLogger(__name__)


@dataclass
class Client:
    buffer: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    ended: bool = False


def advance(connection: socket.socket, client: Client, options: Options) -> None:
    if client.unsent:
        sent = connection.send(client.unsent)
        del client.unsent[:sent]
        return
    data = connection.recv(options.recv_size)
    client.ended = not data
    client.buffer += data
    if client.ended or client.buffer.endswith(b"quit\n"):
        client.unsent, client.buffer = client.buffer, bytearray()
    elif len(client.buffer) > options.max_buffer:
        raise BufferError(f"{len(client.buffer)} bytes came without quit")


async def serve(listener: socket.socket, options: Options) -> None:
    listener.setblocking(False)
    clients: dict[socket.socket, Client] = {}
    while True:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                clients[connection] = Client()
        for connection, client in list(clients.items()):
            try:
                advance(connection, client, options)
            except BlockingIOError:
                continue
            except (OSError, BufferError):
                log.exception("a client failed")
                client.ended, client.unsent = True, bytearray()
            if client.ended and not client.unsent:
                del clients[connection]
                connection.close()
        await asyncio.sleep(0)  # the one courtesy of this busy loop: whoever shares the event loop gets a turn
