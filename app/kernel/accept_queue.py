"""The clients in the accept queues: from the kernel's own tables, /proc/net/tcp and tcp6, as proc_pid_net(5) has them.

A client in an accept queue is a connection without an inode, because no descriptor refers to it. It is in state 01
(established), or 08 (close-wait) if it has already sent its FIN. The tables hold every connection of the machine, so
they are read only when some listener's queue is not empty, once for all, and not on the loop.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

_ESTABLISHED, _CLOSE_WAIT = b"01", b"08"
_NO_INODE = b" 0 0 "  # after a timeout of 0: a client that was never answered is not probed


class Queued(NamedTuple):
    """``unread`` is how many bytes the client has sent."""

    local: tuple[str, int]
    peer: tuple[str, int]
    unread: int


def read(ports: Collection[int]) -> list[Queued]:
    """The clients that wait on these ports, in no order; blocks for some ms where there are thousands of
    connections."""
    found = []
    for table in TABLES:
        with suppress(FileNotFoundError):  # no such protocol, or not Linux
            found += parse(table.read_bytes(), ports)
    return found


def parse(table: bytes, ports: Collection[int]) -> list[Queued]:
    """The clients without an inode in a table's text."""
    wanted = {b"%04X" % port for port in ports}
    found = []
    for line in table.splitlines():
        if _NO_INODE not in line:  # most lines, where there are thousands
            continue
        local, _, rest = line.partition(b": ")[2].partition(b" ")
        if local[-4:] not in wanted:
            continue
        peer, state, queues, _, _, _, _, inode = rest.split(None, 8)[:8]
        if inode == b"0" and state in (_ESTABLISHED, _CLOSE_WAIT):
            unread = int(queues.partition(b":")[2], 16)
            if state == _CLOSE_WAIT and unread:  # the FIN counts as a byte
                unread -= 1
            found.append(Queued(_address(local), _address(peer), unread))
    return found


def _address(text: bytes) -> tuple[str, int]:
    """From hexadecimal, where each group of four bytes is in the machine's own order."""
    host, _, port = text.partition(b":")
    groups = [int(host[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(host), 8)]
    family = socket.AF_INET if len(groups) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(groups)), int(port, 16)
