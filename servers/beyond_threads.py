"""One blocking thread a client.

Each client has a thread that may block as it likes: plain code, all clients at once, and the price is a
thread's memory and the switching between them.
"""

import logging
import socket
import threading

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(boom=True)

log = logging.getLogger(__name__)


def echo(connection: socket.socket, address: object, options: Options) -> None:
    with connection:
        try:
            while data := connection.recv(options.recv_size):
                if data == b"boom\n":
                    raise RuntimeError("boom")
                connection.sendall(data)
        except Exception:
            log.exception("the client from %s failed", address)


def serve(listener: socket.socket, options: Options) -> None:
    while True:
        connection, address = listener.accept()
        try:
            threading.Thread(target=echo, args=(connection, address, options), daemon=True).start()
        except RuntimeError:  # the system gives no further thread
            log.exception("no thread is left for the client from %s", address)
            connection.close()
