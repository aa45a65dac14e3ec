"""Ask the operating system who is ready.

A selector sleeps until some socket has something to say: all clients at once, and next to no cost
while they are silent.
"""

import logging
import selectors
import socket
from contextlib import suppress

from servers._contract import Options, Wire
from servers._waiting import LoopSelector

ON_THE_WIRE = Wire(prefix=b"You Got ")

log = logging.getLogger(__name__)


def advance(connection: socket.socket, unsent: bytes, options: Options) -> bytes | None:
    """Send what is unsent, or read and answer; returns what is still unsent, None when the client is gone."""
    if not unsent:
        data = connection.recv(options.recv_size)
        if not data:
            return None
        unsent = b"You Got " + data
    try:
        sent = connection.send(unsent)
    except BlockingIOError:
        sent = 0
    return unsent[sent:]


async def serve(listener: socket.socket, options: Options) -> None:
    listener.setblocking(False)
    with LoopSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in await selector.ready():
                if key.fileobj is listener:
                    with suppress(BlockingIOError):
                        connection, _ = listener.accept()
                        connection.setblocking(False)
                        selector.register(connection, selectors.EVENT_READ, b"")
                    continue
                connection, unsent = key.fileobj, None
                try:
                    unsent = advance(connection, key.data, options)
                except BlockingIOError:
                    continue
                except OSError:
                    log.exception("a client failed")
                if unsent is None:
                    selector.unregister(connection)
                    connection.close()
                elif unsent != key.data:
                    selector.modify(connection, selectors.EVENT_WRITE if unsent else selectors.EVENT_READ, unsent)
