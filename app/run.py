"""One run of one server: from a socket that listens to the moment when nothing of it is left.

A run is stopped by what it does with its sockets, not by flags: ``shutdown`` on the listener and on every open
connection wakes a blocked ``accept``, ``recv`` or ``send`` on Linux, in whatever thread (``close`` from another thread
wakes none of them); only then is a task of the loop cancelled. An ``OSError`` is judged by intent: while stopping it is
success.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from app import descriptors, kernel
from app.adoption import OWNER
from app.connections import Tally, Traffic
from app.spec import ServerSpec
from app.worker import Worker
from servers import Connection, Listener, Options, Variant

log = logging.getLogger("echodeck.run")


@dataclass
class _Client:
    """``final`` is its traffic, once it was hung up from here."""

    address: Any
    final: Traffic | None = None


def _traffic(connection: Connection) -> Traffic:
    try:
        return kernel.traffic(connection)
    except OSError:
        return Traffic()


class Run:
    """Watches its listener (``servers.Watcher``) and owns the tasks that serving creates (``adoption.Owner``).

    ``tally`` outlives the run, which guards it while it lasts. ``on_end`` is called on the loop, once, when ``serve``
    has ended and nothing of it is left, with what it raised.
    """

    def __init__(
        self,
        name: str,
        variant: Variant,
        listener: Listener,
        spec: ServerSpec,
        tally: Tally,
        on_end: Callable[[Run, BaseException | None], None],
    ) -> None:
        self.name = name
        self.stopping = False
        self._variant = variant
        self._listener = listener
        self._options = Options()
        self._tally = tally
        self._on_end = on_end
        self._lock = threading.Lock()
        self._open: dict[Connection, _Client] = {}
        self._children: set[asyncio.Task[Any]] = set()
        self._worker: Worker[Any] | None = None
        self._idle_watch: asyncio.Task[None] | None = None
        self._serving = True
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._descriptor_bound = descriptors.bound()
        self._shed = False
        self._spec = spec
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self.apply(spec)
        listener.watcher = self
        # A context of its own: the run must not inherit that of the request which started it.
        self.task = self._loop.create_task(self._main(), name=f"server:{name}", context=contextvars.Context())
        self.task.add_done_callback(self._ended)

    # While it runs

    def apply(self, spec: ServerSpec) -> None:
        """Take limits over from a changed spec, for the clients that are there and those to come."""
        self._options.recv_size, self._options.max_buffer = spec.recv_size, spec.max_buffer
        if spec.backlog != self._listener.backlog:
            self._listener.backlog = spec.backlog
            self._listener.listen()
        for sock in (self._listener, *self._connections()):  # accepted sockets inherit it from the listener
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, spec.nodelay)
        self._spec = spec
        if self._idle_watch is not None:
            self._idle_watch.cancel()
            self._idle_watch = None
        if spec.idle_timeout is not None:
            self._idle_watch = self._loop.create_task(
                self._hang_up_idle(spec.idle_timeout), name=f"server:{self.name}/idle"
            )
            self.adopt(self._idle_watch)

    @property
    def waiting(self) -> int:
        """Clients in the accept queue."""
        try:
            return kernel.waiting(self._listener)
        except OSError:
            return 0

    @property
    def traffic(self) -> Traffic:
        """Of the connections that are open now."""
        bytes_in = bytes_out = 0
        for connection in self._connections():
            with suppress(OSError):
                traffic = kernel.traffic(connection)
                bytes_in += traffic.bytes_in
                bytes_out += traffic.bytes_out
        return Traffic(bytes_in, bytes_out)

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time of a variant's own thread; None for one that runs on the loop."""
        return self._worker.cpu_seconds if self._worker else None

    def _connections(self) -> list[Connection]:
        with self._lock:
            return list(self._open)

    async def _hang_up_idle(self, after: float) -> None:
        while True:
            soonest = after
            for connection in self._connections():
                with suppress(OSError):
                    left = after - kernel.idle(connection)
                    if left <= 0:
                        self._hang_up(connection)
                    else:
                        soonest = min(soonest, left)
            await asyncio.sleep(max(soonest, 0.02))

    # As the listener's watcher; from any thread

    def admits(self, connection: Connection, address: Any) -> bool:
        if connection.fileno() >= self._descriptor_bound:
            self.turned_away(OSError(errno.EMFILE, "the rest is kept for the page"))
            return False
        with self._lock:
            most = self._spec.max_connections
            if self.stopping or (most is not None and len(self._open) >= most):
                self._tally.turned_away += 1
                return False
            self._open[connection] = _Client(address)
            self._tally.opened()
        return True

    def closes(self, connection: Connection) -> None:
        traffic = _traffic(connection)
        with self._lock:
            client = self._open.pop(connection, None)
            if client is None:
                return
            self._tally.closed(client.final or traffic)
            emptied = self.stopping and not self._open
        if emptied:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._empty.set)

    def turned_away(self, error: OSError) -> None:
        with self._lock:
            self._tally.turned_away += 1
            first, self._shed = not self._shed, True
        if first:  # one incident, not one a client
            log.warning("%s turns clients away: no descriptor is left (%s)", self.name, error)

    # As the owner of what serving creates

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._children.add(task)
        task.add_done_callback(self._children.discard)

    def expects(self, error: BaseException) -> bool:
        return self.stopping and isinstance(error, OSError)

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._tally.exceptions += 1

    # Its end

    def retire(self) -> None:
        """Let nobody in any more; those inside go on."""
        self.stopping = True
        self._listener.retire()
        if not self._connections():
            self._empty.set()

    async def emptied(self) -> None:
        """Return when a retired run has lost its last connection."""
        await self._empty.wait()

    async def stop(self, grace: float) -> list[str]:
        """End it within about this many seconds; returns what did not obey (thread or task names), usually nothing."""
        self.stopping = True
        self._shut_sockets()
        if self._worker is None and self._serving:
            self.task.cancel()
        await asyncio.wait({self.task}, timeout=grace)
        left = []
        if not self.task.done():
            left.append(self._worker.thread.name if self._worker else self.task.get_name())
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=0.1)
        left += [task.get_name() for task in self._children]
        self._close_sockets()
        return left

    async def _main(self) -> None:
        OWNER.set(self)
        try:
            if self._variant.runs_on == "loop":
                await cast("Awaitable[None]", self._variant.serve(self._listener, self._options))
            else:
                self._worker = Worker(f"server:{self.name}", lambda: self._variant.serve(self._listener, self._options))
                self._worker.start()
                await self._worker.ended
        except OSError:
            if not self.stopping:
                raise
        except SystemExit as error:  # the loop would end with it, and the whole app
            raise RuntimeError(f"serve called exit({error.code})") from error
        finally:
            self._serving = False
            await self._clear()

    async def _clear(self) -> None:
        self._shut_sockets()
        if children := set(self._children):
            for task in children:
                task.cancel()
            await asyncio.wait(children, timeout=1.0)
        self._close_sockets()

    def _shut_sockets(self) -> None:
        with suppress(OSError):  # closed
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._connections():
            self._hang_up(connection)

    def _hang_up(self, connection: Connection) -> None:
        # Counted now: once both sides have shut it, the kernel no longer tells a FIN from a byte.
        traffic = _traffic(connection)
        with self._lock:
            if client := self._open.get(connection):
                client.final = client.final or traffic
        with suppress(OSError):  # not connected any more, or closed
            connection.shutdown(socket.SHUT_RDWR)

    def _close_sockets(self) -> None:
        for sock in (self._listener, *self._connections()):
            with suppress(OSError):
                sock.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error: BaseException | None = None
        if not task.cancelled():
            error = task.exception()
        elif not self.stopping:
            error = RuntimeError("the server's task was cancelled by something other than a stop")
        if error is not None:
            self.failed(error)
        self._on_end(self, error)
