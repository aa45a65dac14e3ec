"""Which ports the kernel hands out by itself (Linux: /proc/sys/net/ipv4/ip_local_port_range; elsewhere IANA's)."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_IANA = range(49152, 65536)

UNCLAIMED = 20_000
"""From here on few programs have a port that is known as theirs."""

BELOW = range(10_000, UNCLAIMED)


@cache
def handed_out() -> range:
    """What outgoing connections, and sockets bound to port 0, are given: a listener's port should be none of them.

    While a listener is away for a moment, as its server starts again, any client on this machine may be given its port.
    """
    with suppress(OSError, ValueError):
        first, last = _RANGE.read_text(encoding="ascii").split()
        return range(int(first), int(last) + 1)
    return _IANA


def lasting(allowed: range = range(UNCLAIMED, 65536), most: int = 40) -> list[int]:
    """Some of those allowed, in no order, that are nobody's by name or by the kernel's hand; they may be taken."""
    some = range(max(allowed.start, UNCLAIMED), max(allowed.stop, UNCLAIMED))
    return [port for port in random.sample(some, min(len(some), most)) if port not in handed_out()]


def free_ports(count: int) -> list[int]:
    """That many ports, for programs that are about to start, which nobody has on 127.0.0.1 now.

    They are below those that servers with port 0 are given: these may start on any of theirs at any moment.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(BELOW, min(len(BELOW), 40 * count)):
            if port in handed_out():
                continue
            sock = held.enter_context(socket.socket())
            with suppress(OSError):
                sock.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"of {count} ports only {len(found)} are free")
