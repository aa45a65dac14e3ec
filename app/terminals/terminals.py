"""The terminals that are open: how many there may be, and how one comes to its server."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import ExitStack
from contextvars import copy_context

from app.addresses import format_address
from app.connections.client import Client
from app.kernel import descriptors
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor
from app.terminals import close_codes
from app.terminals.bridge import Bridge
from app.terminals.close_codes import Verdict
from app.terminals.page_end import HandOver
from app.terminals.server_end import ServerEnd

log = logging.getLogger("echodeck.terminals")

SECONDS_TO_CONNECT = 5.0
"""A server whose queue is full answers nothing, tcp(7)."""

WORTH_A_LINE = frozenset(10**power for power in range(10))
"""Of refusals, the log shows the first, the tenth, the hundredth, and so on."""

_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound to


class Terminals:
    """``most`` may be open at once; ``refused`` counts those beyond, ``dropped`` the pages that took nothing."""

    def __init__(self, supervisor: Supervisor, most: int) -> None:
        self.dropped = 0
        self.refused = 0
        self._supervisor = supervisor
        self.most = most
        self._open: set[Bridge] = set()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    async def serve(self, hand_over: HandOver, server: Server, v1: bool, tells_taken: bool = False) -> None:
        """Return when the terminal has ended, and nothing of it is left."""
        stops = server.stops

        def verdict() -> Verdict | None:
            if self._supervisor.closing:
                return close_codes.APP_STOPS
            if server.goes_away:
                return close_codes.node_lost(server.node)
            return close_codes.SERVER_STOPPED if server.stops != stops else None

        bridge = Bridge(v1, verdict, tells_taken)
        bridge.page = hand_over(bridge)
        try:
            if self.open >= self.most:
                self.refused += 1
                if self.refused in WORTH_A_LINE:
                    log.warning("refuses terminals: %d are open, which is the limit", self.open)
                bridge.refuse(close_codes.too_many(self.most))
                await bridge.over
                return
            self._open.add(bridge)
            try:
                with ExitStack() as undo:
                    await self._connect(bridge, server, undo)
                    await bridge.over
            except Exception:
                log.exception("a terminal of %s failed", server.name)
                bridge.failed()
                await bridge.over
            finally:
                self._open.discard(bridge)
                self.dropped += bridge.stalled
        finally:
            bridge.abort()

    async def _connect(self, bridge: Bridge, server: Server, undo: ExitStack) -> None:
        """Let the two talk, or tell the page why not."""
        try:
            there = self._address(server)
            sock = _socket(there, bridge.page.descriptor)
        except _Refused as refused:
            bridge.refuse(refused.verdict)
            return
        with ExitStack() as failing:
            failing.callback(sock.close)
            try:
                sock.bind((there[0], 0))  # before it connects: the server may accept sooner than this goes on
                local: tuple[str, int] = sock.getsockname()[:2]
                if local == there:  # nobody is there any more, and it would connect to itself
                    raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
                self._tell(bridge, server, local, undo)
                async with asyncio.timeout(SECONDS_TO_CONNECT):
                    await asyncio.get_running_loop().sock_connect(sock, there)
            except TimeoutError:
                bridge.refuse(close_codes.timed_out(SECONDS_TO_CONNECT))
            except OSError as error:
                bridge.refuse(close_codes.unreachable(error.strerror or str(error)))
            else:
                failing.pop_all()
                about = {"server": server.name, "local": format_address(*local), "peer": format_address(*there)}
                bridge.open(ServerEnd(sock, bridge), about)

    def _address(self, server: Server) -> tuple[str, int]:
        if self._supervisor.closing:
            raise _Refused(close_codes.APP_STOPS)
        if server.listens_at is None:
            raise _Refused(close_codes.not_running(server.state.value))
        host, port = server.listens_at
        return _NEAR.get(host, host), port

    def _tell(self, bridge: Bridge, server: Server, local: tuple[str, int], undo: ExitStack) -> None:
        """Tell the terminal as soon as the server lets it in."""
        roster, loop, context = self._supervisor.roster, asyncio.get_running_loop(), copy_context()

        def entered(client: Client) -> None:  # on the server's thread
            loop.call_soon_threadsafe(bridge.accepted, roster.id(client.number), context=context)

        roster.expect(server.name, local, entered)
        undo.callback(roster.expect_no_more, server.name, local)


class _Refused(Exception):
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


def _socket(there: tuple[str, int], other: int) -> socket.socket:
    """One that does not wait, unless it or the ``other`` descriptor is of those that are kept for the page."""
    full = _Refused(close_codes.NO_DESCRIPTOR)
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in there[0] else socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        raise full from None
    if max(sock.fileno(), other) >= descriptors.bound():
        sock.close()
        raise full
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
