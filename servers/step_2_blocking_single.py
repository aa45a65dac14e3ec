"""Read until quit, answer, end.

recv blocks as accept does: one client is read until it says quit, gets everything back, and the program ends.
"""

import logging
import socket

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(answers="until quit", clients="one in all", hangs_up=True)

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
    connection, address = listener.accept()
    with connection:
        try:
            answer(connection, options)
        except (OSError, BufferError):
            log.exception("the client from %s failed", address)
