"""From a host and a port to a listening socket, or to the reason why not."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.addresses import format_address
from app.errors import HostNotAllowed, Invalid, OutOfDescriptors, PortNotAllowed, PortTaken, Refusal
from app.kernel import descriptors, ports
from app.loop.worker import Worker
from servers import Listener

RESOLVE_SECONDS = 3.0

KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""When the kernel asks a silent client whether it is there (tcp(7)): one whose machine is gone is let go after two
minutes. Else it would hold its connection, or a server that serves one at a time, for ever."""


@dataclass(frozen=True)
class Holder:
    """What listens somewhere: the name, if it is one of our servers, and the words for it."""

    server: str | None
    words: str


HolderOf = Callable[[str, int], Holder]
"""Asked with an IP address and a port that are taken."""


@dataclass(frozen=True)
class Policy:
    """Where servers may listen: the ports, and whether anywhere but on loopback."""

    ports: range
    beyond_loopback: bool

    def check_port(self, port: int) -> None:
        """Raises:
        PortNotAllowed: the port is outside the range; 0 never is.
        """
        if port and port not in self.ports:
            span = f"{self.ports.start}-{self.ports.stop - 1}"
            raise PortNotAllowed(
                f"Port {port} is outside the allowed range {span}; choose another, or start the app with --ports.",
                field="port",
                allowed=span,
            )

    def check_address(self, address: str) -> None:
        """Raises:
        HostNotAllowed: the IP address is not loopback, and only loopback is allowed.
        """
        if not self.beyond_loopback and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            raise HostNotAllowed(
                f"{address} is not a loopback address. Listening beyond loopback takes a token (ECHODECK_TOKEN), or "
                "--trust-network where everybody who can reach this machine may use it.",
                field="host",
            )


async def resolve(host: str) -> tuple[socket.AddressFamily, str]:
    """The family and IP address of a host, IPv4 first where it has both.

    Raises:
        Invalid: no such host, or no answer within ``RESOLVE_SECONDS``.
    """

    name = host.removesuffix(".")  # with the root's dot it is the same, but not to every resolver

    def look_up(flags: int = 0) -> list[tuple[socket.AddressFamily, str]]:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)
        return sorted((family, str(address[0])) for family, _, _, _, address in found)

    try:
        return look_up(socket.AI_NUMERICHOST)[0]
    except (OSError, UnicodeError):
        pass  # a name: may take its time, elsewhere
    worker = Worker(f"resolve {host}", look_up)
    try:
        worker.start()
    except RuntimeError as error:
        raise OutOfDescriptors(f"No thread is left to resolve {host!r} in ({error}).") from error
    try:
        return (await asyncio.wait_for(worker.ended, RESOLVE_SECONDS))[0]
    except TimeoutError:
        raise Invalid(f"{host!r} did not resolve within {RESOLVE_SECONDS:g} s.", field="host", passes=True) from None
    except (OSError, UnicodeError) as error:
        raise Invalid(f"{host!r} does not resolve ({error.args[-1]}).", field="host", passes=True) from error


async def listen(host: str, port: int, backlog: int, policy: Policy, holder_of: HolderOf) -> Listener:
    """A socket that listens there; port 0 takes any free one of those allowed. Its watcher is yet to be set.

    Raises:
        Refusal: why it cannot, with the field to change.
    """
    policy.check_port(port)
    family, address = await resolve(host)
    policy.check_address(address)
    if port:
        return _bind(family, address, port, backlog, holder_of)
    for port in _candidates(policy.ports):
        try:
            listener = _bind(family, address, port, backlog, holder_of)
        except PortTaken:
            continue
        if listener.getsockname()[1] in policy.ports:
            return listener
        listener.close()
    raise PortTaken("Every port in the allowed range is taken.", field="port", holder=None)


def _candidates(allowed: range) -> Iterator[int]:
    """Ports to try, those first that a server finds free again when it comes back; 0 is one of the kernel's choice."""
    yield from ports.lasting(allowed)
    yield 0
    yield from random.sample(allowed, len(allowed))


async def check(host: str, port: int, policy: Policy, holder_of: HolderOf) -> None:
    """Raise what ``listen`` would, except that the port is taken: that is another matter by the time of the start.

    Raises:
        Refusal: why nothing could ever listen there.
    """
    policy.check_port(port)
    family, address = await resolve(host)
    policy.check_address(address)
    _bind(family, address, 0, 1, holder_of).close()


def _bind(family: socket.AddressFamily, address: str, port: int, backlog: int, holder_of: HolderOf) -> Listener:
    listener = None
    try:
        listener = Listener(family, socket.SOCK_STREAM)
        if listener.fileno() >= descriptors.bound():
            raise OSError(errno.EMFILE, "the reserve is not for servers")
        # Without it, connections of an earlier run that linger in TIME_WAIT would keep the port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # what it accepts inherits it
        for option, value in KEEPALIVE.items():
            if hasattr(socket, option):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        listener.bind((address, port))
        listener.backlog = backlog
        listener.listen()
    except OSError as error:
        if listener is not None:
            listener.close()
        raise _reason(error, address, port, holder_of) from error
    return listener


def _reason(error: OSError, address: str, port: int, holder_of: HolderOf) -> Refusal:
    where = format_address(address, port)
    match error.errno:
        case errno.EADDRINUSE:
            holder = holder_of(address, port)
            return PortTaken(
                f"{where} is taken by {holder.words}; choose another port.", field="port", holder=holder.server
            )
        case errno.EACCES | errno.EPERM:
            return PortNotAllowed(f"The system does not let this app use port {port}.", field="port")
        case errno.EMFILE | errno.ENFILE | errno.ENOBUFS | errno.ENOMEM:
            return OutOfDescriptors("No descriptor is left for another server; stop one, or hang up connections.")
    return Invalid(f"This machine cannot listen on {where}: {error.strerror}.", field="host", passes=True)
