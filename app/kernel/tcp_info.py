"""What the kernel knows of a socket: read with one call, only when it is asked for.

Offsets are those of ``struct tcp_info`` in Linux's uapi/linux/tcp.h, which only ever grows at its end. Where the
platform is not Linux, or an old one, every figure is zero.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
import termios
from array import array
from fcntl import ioctl
from typing import NamedTuple

from app.kernel.traffic import Traffic

_SIZE = 216  # Linux 4.19 and later tell as much
_QUEUE = struct.Struct("=24xI")  # tcpi_unacked; of a listener: how many wait in its accept queue
_TIMING = struct.Struct("=44xI4xI12xI").unpack_from  # last_data_sent and last_data_recv in ms, rtt in µs
_PULSE = struct.Struct("=B127xQ8xI52xQQ").unpack_from  # state, bytes_received, notsent_bytes, bytes_sent, bytes_retrans

_ACKNOWLEDGED = struct.Struct("=120xQ")  # bytes_acked

# enum tcp_state, net/tcp_states.h: which end has sent a FIN
_PEER_CLOSED = {8, 9, 11}  # CLOSE_WAIT, LAST_ACK, CLOSING
_PEER_GONE = _PEER_CLOSED | {7}  # CLOSE: it was reset
_WE_CLOSED = {4, 5, 9, 11}  # FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING


def _has_tcp_info() -> bool:
    if sys.platform != "linux":
        return False
    with socket.socket() as probe:
        return len(probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)) == _SIZE


HAS_TCP_INFO = _has_tcp_info()


def waiting(listener: socket.socket) -> int:
    """How many clients the kernel has connected and nobody has accepted.

    Raises:
        OSError: the socket is closed.
    """
    if not HAS_TCP_INFO:
        return 0
    count: int = _QUEUE.unpack_from(info(listener))[0]
    return count


class Figures(NamedTuple):
    """A connection as the kernel sees it; ``idle`` in seconds, the round-trip time in microseconds."""

    traffic: Traffic
    peer_closed: bool
    unread: int
    idle: float
    rtt_us: int


def figures(connection: socket.socket) -> Figures:
    """All there is to know, in two calls.

    Raises:
        OSError: the socket is closed.
    """
    raw = info(connection)
    return Figures(*reading(pulse(raw)), unread(connection), *timing(raw))


def unread(connection: socket.socket) -> int:
    """Bytes that came and that the server has not read: FIONREAD, tcp(7).

    Raises:
        OSError: the socket is closed.
    """
    return _count(connection, termios.FIONREAD)


def unsent(connection: socket.socket) -> int:
    """Bytes handed to the kernel that the peer has not acknowledged: SIOCOUTQ, tcp(7).

    Raises:
        OSError: the socket is closed.
    """
    return _count(connection, termios.TIOCOUTQ)


def _count(connection: socket.socket, request: int) -> int:
    count = array("i", [0])
    try:
        ioctl(connection.fileno(), request, count)
    except ValueError as error:  # a descriptor of -1
        raise OSError(errno.EBADF, "closed") from error
    return count[0]


Pulse = tuple[int, ...]
"""What changes when a connection is used, as the kernel has it; equal as long as nothing happens."""


def info(connection: socket.socket) -> bytes:
    """The kernel's ``struct tcp_info``, for callers that look at thousands, and decode what they need.

    Raises:
        OSError: the socket is closed.
    """
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE) if HAS_TCP_INFO else b""


def pulse(info: bytes) -> Pulse:
    return _PULSE(info) if info else ()


def reading(pulse: Pulse) -> tuple[Traffic, bool]:
    """The traffic, and whether the peer has closed or is gone."""
    return (_traffic(pulse), pulse[0] in _PEER_GONE) if pulse else (Traffic(), False)


def timing(info: bytes) -> tuple[float, int]:
    """Seconds without a byte either way, and the round-trip time in microseconds."""
    if not info:
        return 0.0, 0
    sent, received, rtt_us = _TIMING(info)
    return min(sent, received) / 1000, rtt_us


def traffic(connection: socket.socket) -> Traffic:
    """Payload bytes received in order, read or not, and bytes handed to the kernel for sending, acknowledged or not.

    The kernel counts a FIN as one byte; here it is none.

    Raises:
        OSError: the socket is closed.
    """
    return reading(pulse(info(connection)))[0]


def acknowledged(connection: socket.socket) -> int:
    """Bytes that the peer's kernel has taken, or one more.

    Raises:
        OSError: the socket is closed.
    """
    raw = info(connection)
    return int(_ACKNOWLEDGED.unpack_from(raw)[0]) if raw else 0


def _traffic(pulse: Pulse) -> Traffic:
    state, received, not_sent, sent, again = pulse
    if state in _PEER_CLOSED and received:
        received -= 1
    if state in _WE_CLOSED and not_sent:
        not_sent -= 1
    return Traffic(received, sent - again + not_sent)


def idle(connection: socket.socket) -> float:
    """Seconds since a byte went either way, or since the connection began.

    Raises:
        OSError: the socket is closed.
    """
    return timing(info(connection))[0]
