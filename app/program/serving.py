"""The app's listening sockets, its signals and its orderly end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from app.addresses import format_address
from app.declaring.upkeep import Upkeep
from app.kernel import descriptors
from app.loop.runner import spare_the_loop
from app.program import sighup, whereabouts
from app.program.uvicorn_protocols import BoundedHttp, DirectWebSocket
from app.settings import Settings
from app.supervising.supervisor import Supervisor
from app.terminals.frames import MOST

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet
    from app.program.service_manager import ServiceManager

log = logging.getLogger("echodeck")

BACKLOG = 2048
ACCEPTED_IN_ONE_GO = 4
"""Connections that asyncio accepts before any of them gets its protocol, which may close it if there are too many."""

REACHED_BY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with
"""From this machine, an app that listens on all addresses."""

SECONDS_TO_STOP_SERVERS = 3.0
SECONDS_TO_LEAVE = 2.5
SECONDS_TO_FINISH_ANSWERS = 1


class CannotServe(Exception):
    """The page cannot listen; the message has the address and the reason."""


class _State(ServerState):
    """uvicorn's, with a Date header that is made when an answer needs it, once a second at most."""

    _second = 0
    _headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012  # replaced, never changed

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        second = int(time.time())
        if second != self._second:
            self._second, self._headers = second, [(b"date", formatdate(second, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """For uvicorn, which begins with none."""


class Process(uvicorn.Server):
    """The end has an order that can be watched: servers first, while ``/readyz`` answers 503, then the page.

    The first SIGINT or SIGTERM begins it; a second one ends the process at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        supervisor: Supervisor,
        fleet: Fleet | None = None,
        manager: ServiceManager | None = None,
    ) -> None:
        super().__init__(config)
        self._fleet = fleet
        self._manager = manager
        self._supervisor = supervisor
        self._ending: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._signals = 0
        self._servers_stopped = asyncio.Event()
        self.server_state = _State()

    async def main_loop(self) -> None:
        """Wait for the end. uvicorn's own looks ten times a second whether to exit, and what date it is."""
        await self._servers_stopped.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for sock in sockets or ():  # asyncio has one parameter for both the accepts in one go and the backlog
            sock.listen(BACKLOG)
        if self._manager is not None and self.started:
            self._manager.ready(f"Serving at {', '.join(map(_url, sockets or ()))}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + sig)
        # The handler interrupts a callback of the loop: in that callback's context the task would belong to its server,
        # and be cancelled with the server.
        self._loop.call_soon_threadsafe(self._begin_shutdown, context=contextvars.Context())

    def _begin_shutdown(self) -> None:
        log.info("stopping the servers; once more ends at once")
        if self._manager is not None:
            self._manager.stopping()
        self._ending = self._loop.create_task(self._shut_down(), name="end")

    async def _shut_down(self) -> None:
        try:
            if self._fleet is not None:
                await self._leave(self._fleet)
            await asyncio.wait_for(self._supervisor.stop_all(), SECONDS_TO_STOP_SERVERS)
        except TimeoutError:
            log.error("not every server stopped within %g s", SECONDS_TO_STOP_SERVERS)
        except Exception:
            log.exception("stopping the servers failed")
        finally:
            self.should_exit = True
            self._servers_stopped.set()

    async def _leave(self, fleet: Fleet) -> None:
        """First what floats: others wait to take it."""
        self._supervisor.announce_end()
        try:
            await asyncio.wait_for(fleet.leave(), SECONDS_TO_LEAVE)
        except TimeoutError:
            log.error("not everything was given back within %g s; it goes with the lease", SECONDS_TO_LEAVE)


async def serve(app: FastAPI, settings: Settings, announce: Callable[[str], None]) -> list[str]:
    """Serve until a signal ends it. ``announce`` gets the page's address when the page can be reached.

    Returns the names of tasks that do not end.

    Raises:
        CannotServe: the page cannot listen on its address, or no server could.
        StateUnusable: the state file cannot be used.
    """
    limit = descriptors.raise_limit()
    if limit < descriptors.FEWEST:
        raise CannotServe(
            f"no server could start: this process may have {limit} open files, of which {descriptors.RESERVE} are kept "
            "for the page; raise the limit, with `ulimit -n 4096` for example"
        )
    if limit < descriptors.FEW:
        log.warning("servers and clients may have some %d open files: `ulimit -n` is %d", descriptors.bound(), limit)
    supervisor: Supervisor = app.state.supervisor
    upkeep: Upkeep = app.state.upkeep
    sockets = open_sockets(settings.host, settings.port)
    supervisor.page_at = [sock.getsockname()[:2] for sock in sockets]
    manager = _service_manager()
    process = Process(configuration(app), supervisor, app.state.fleet, manager)
    read_again = upkeep.look_again if manager is None else partial(manager.reload, upkeep.look_again)
    with sighup.handled(read_again, lambda: process.handle_exit(signal.SIGHUP, None)):
        try:
            await supervisor.open()
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        address, port = supervisor.page_at[0]
        reached = f"http://{format_address(REACHED_BY.get(address, address), port)}"
        url = settings.advertise or reached
        if (fleet := app.state.fleet) is not None:
            await _join(fleet, supervisor, sockets, url)
        with whereabouts.announced(reached, settings.state_path):
            announce(f"http://{format_address('localhost' if settings.host == 'localhost' else address, port)}/")
            spare_the_loop()
            await process.serve(sockets)
    if manager is not None:
        manager.close()
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def _service_manager() -> ServiceManager | None:
    if not os.environ.get("NOTIFY_SOCKET"):
        return None
    from app.program.service_manager import ServiceManager

    return ServiceManager()


def _url(sock: socket.socket) -> str:
    address, port = sock.getsockname()[:2]
    return f"http://{format_address(address, port)}"


async def _join(fleet: Fleet, supervisor: Supervisor, sockets: list[socket.socket], url: str) -> None:
    """Raises:
    CannotServe: this cannot be a node of the fleet.
    """
    from app.fleet.fleet import CannotJoin

    try:
        await fleet.join(url)
    except BaseException as reason:
        for sock in sockets:
            sock.close()
        await fleet.close()
        await supervisor.close()
        if isinstance(reason, CannotJoin):
            raise CannotServe(f"cannot join the fleet: {reason}") from None
        raise


def configuration(app: FastAPI, **other: Any) -> uvicorn.Config:
    options: dict[str, Any] = {
        "lifespan": "on",
        "http": BoundedHttp,
        "ws": DirectWebSocket,
        "ws_max_size": MOST,
        "ws_per_message_deflate": False,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "backlog": ACCEPTED_IN_ONE_GO,
        "proxy_headers": False,
        "workers": 1,  # else WEB_CONCURRENCY is read, which is meant for others
        "timeout_graceful_shutdown": SECONDS_TO_FINISH_ANSWERS,
    }
    return uvicorn.Config(app, **options | other)


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """One listening socket for each address of the host; with port 0 all on one port that the kernel picks.

    Raises:
        CannotServe: the host does not resolve, or an address is taken or not of this machine.
    """
    sockets: list[socket.socket] = []
    try:
        found: set[tuple[socket.AddressFamily, str]] = {
            (family, str(address[0]))
            for family, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        }
        if host == "::":  # all addresses, as everywhere else that this is written
            found.add((socket.AF_INET, "0.0.0.0"))  # noqa: S104  # asked for
        for family, address in sorted(found):
            # The protocol is named because asyncio turns Nagle's algorithm off only if it is IPPROTO_TCP: otherwise an
            # answer written in two pieces waits 40 ms for a delayed ACK.
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            port = sock.getsockname()[1]
            sock.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        for sock in sockets:
            sock.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotServe(
            f"the page cannot listen on {host} port {port}: {reason}; choose another with --host or --port"
        ) from error
    return sockets
