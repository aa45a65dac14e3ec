"""What the kernel knows of a socket: read with one call, only when somebody looks.

Offsets are those of ``struct tcp_info`` in Linux's uapi/linux/tcp.h, which only ever grows at its end. Where the
platform is not Linux, every figure is zero.
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

from app.connections import Traffic

HAS_TCP_INFO = sys.platform == "linux"

_SIZE = 216  # Linux 4.19 and later tell as much
_QUEUE = struct.Struct("=24xI")  # tcpi_unacked; of a listener: how many wait in its accept queue
_SINCE = struct.Struct("=44xI4xI")  # tcpi_last_data_sent, tcpi_last_data_recv, in ms
_RTT = struct.Struct("=68xI")  # tcpi_rtt, in µs
_PULSE = struct.Struct("=B127xQ8xI52xQQ").unpack_from  # state, bytes_received, notsent_bytes, bytes_sent, bytes_retrans

# enum tcp_state, net/tcp_states.h: who has sent a FIN
_PEER_CLOSED = {8, 9, 11}  # CLOSE_WAIT, LAST_ACK, CLOSING
_PEER_GONE = _PEER_CLOSED | {7}  # CLOSE: it was reset
_WE_CLOSED = {4, 5, 9, 11}  # FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING


def _info(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)


def waiting(listener: socket.socket) -> int:
    """How many clients the kernel has connected and nobody has accepted.

    Raises:
        OSError: the socket is closed.
    """
    if not HAS_TCP_INFO:
        return 0
    count: int = _QUEUE.unpack_from(_info(listener))[0]
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
    if not HAS_TCP_INFO:
        return Figures(Traffic(), False, unread(connection), 0.0, 0)
    info = _info(connection)
    traffic, peer_closed = reading(_PULSE(info))
    return Figures(traffic, peer_closed, unread(connection), _idle(info), _RTT.unpack_from(info)[0])


def unread(connection: socket.socket) -> int:
    """Bytes that came and that the server has not read: FIONREAD, tcp(7).

    Raises:
        OSError: the socket is closed.
    """
    count = array("i", [0])
    try:
        ioctl(connection.fileno(), termios.FIONREAD, count)
    except ValueError as error:  # a descriptor of -1
        raise OSError(errno.EBADF, "closed") from error
    return count[0]


Pulse = tuple[int, ...]
"""What changes when a connection is used, as the kernel has it; equal as long as nothing happens."""


def pulse(connection: socket.socket) -> Pulse:
    """Read in a microsecond, for those who look at thousands; ``reading`` tells what it means.

    Raises:
        OSError: the socket is closed.
    """
    if not HAS_TCP_INFO:
        return ()
    return _PULSE(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE))


def reading(pulse: Pulse) -> tuple[Traffic, bool]:
    """The traffic, and whether the peer has closed or is gone."""
    return (_traffic(pulse), pulse[0] in _PEER_GONE) if pulse else (Traffic(), False)


def traffic(connection: socket.socket) -> Traffic:
    """Payload bytes received in order, read or not, and bytes handed to the kernel for sending, acknowledged or not.

    The kernel counts a FIN as one byte; here it is none.

    Raises:
        OSError: the socket is closed.
    """
    return reading(pulse(connection))[0]


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
    return _idle(_info(connection)) if HAS_TCP_INFO else 0.0


def _idle(info: bytes) -> float:
    sent, received = _SINCE.unpack_from(info)
    milliseconds: int = min(sent, received)
    return milliseconds / 1000
