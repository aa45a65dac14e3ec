"""Many clients, one at a time.

A loop around accept serves everybody, but in turn: the second client waits in the
kernel's backlog until the first is done.
"""

import logging
import socket

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(answers="until quit", clients="one at a time", hangs_up=True)

log = logging.getLogger(__name__)


def answer(connection: socket.socket, options: Options) -> None:
    buffer = bytearray()
    while not buffer.endswith(b"quit\n"):
        if len(buffer) > options.max_buffer:
            raise BufferError(f"{len(buffer)} bytes came without quit")
        data = connection.recv(options.recv_size)
        if not data:
            break
        buffer += data
    connection.sendall(buffer)


def serve(listener: socket.socket, options: Options) -> None:
    while True:
        connection, address = listener.accept()
        with connection:
            try:
                answer(connection, options)
            except (OSError, BufferError):
                log.exception("the client from %s failed", address)
