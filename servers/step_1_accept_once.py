"""Accept one client.

accept blocks: the program stands still until somebody connects. One client, then it ends.
"""

import logging
import socket

from servers._contract import Options, Wire

ON_THE_WIRE = Wire(answers="nothing", clients="one in all", hangs_up=True)

log = logging.getLogger(__name__)


def serve(listener: socket.socket, options: Options) -> None:
    connection, address = listener.accept()
    with connection:
        log.info("a client came from %s", address)
