"""One run of one server: from a socket that listens to the moment when nothing of it is left.

A run is stopped by what it does with its sockets, not by flags: ``shutdown`` on the listener and on every open
connection wakes a blocked ``accept``, ``recv`` or ``send`` on Linux, in whatever thread (``close`` from another thread
wakes none of them); only then is a task of the loop cancelled. An ``OSError`` is judged by intent: while stopping it is
success.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import selectors
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import fields
from typing import Any, Protocol, cast
from weakref import WeakSet

from app.connections.clients import Clients, Permit
from app.connections.roster import Roster
from app.connections.tally import Tally
from app.history.blame import connection_of
from app.kernel import tcp_info
from app.kernel.traffic import Traffic
from app.loop.ownership import OWNER, claim
from app.loop.worker import CpuClock, Worker
from app.supervising.spec import ServerSpec
from servers import Listener, Options, Variant

log = logging.getLogger("echodeck.run")

SO_MAX_PACING_RATE = 47
"""Of asm-generic/socket.h, which Python does not name; TCP paces by itself, tcp(7). In bytes a second."""

UNPACED = -1

CHILDREN_GRACE = 1.0
"""Seconds that tasks and threads which a variant created get to end, once cancelled or without their sockets."""


class Keeper(Protocol):
    """The server over its runs, as seen from one of them. All is called on the loop but ``noted`` and ``caught``."""

    @property
    def name(self) -> str: ...

    @property
    def variant(self) -> Variant: ...

    @property
    def spec(self) -> ServerSpec: ...

    @property
    def tally(self) -> Tally: ...

    @property
    def permit(self) -> Permit | None: ...

    def noted(self, message: str) -> None:
        """The variant logged something that is no exception; called on the thread where that happened."""

    def caught(self, run: Run, error: BaseException, net: str) -> bool:
        """An exception of the run, and in which net it was caught; called on the thread where that happened.

        Returns whether it is worth a line in the app's log.
        """

    def ended(self, run: Run, error: BaseException | None) -> None:
        """``serve`` has ended and nothing of the run is left; ``error`` is what it raised. Called once."""


class Run:
    """Owns the tasks and threads that serving creates (``ownership.Owner``), and the sockets.

    ``token`` is equal to that of no other run, ever. ``selectors`` are those that its variant has made.
    """

    def __init__(self, keeper: Keeper, listener: Listener, roster: Roster) -> None:
        self.name = keeper.name
        self.token = object()
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self.clients = Clients(keeper.name, keeper.tally, roster, keeper.noted)
        self.variant = keeper.variant
        self.listener = listener
        self.selectors: WeakSet[selectors.BaseSelector] = WeakSet()
        self._keeper = keeper
        self._options = Options()
        self._children: set[asyncio.Task[Any]] = set()
        self._worker: Worker[Any] | None = None
        self._threads: dict[threading.Thread, CpuClock] = {}
        self._threads_guard = threading.Lock()
        self._thread_ended = asyncio.Event()
        self._cpu_of_ended = 0.0
        self._idle_watch: asyncio.Task[None] | None = None
        self._serving = True
        self._stopping = False
        self.apply(keeper.spec)
        listener.watcher = self.clients
        # A context of its own: the run must not inherit that of the request which started it.
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._main(), name=f"server:{self.name}", context=contextvars.Context())
        claim(self.task, self)
        self.task.add_done_callback(self._ended)

    # While it runs

    def apply(self, spec: ServerSpec) -> None:
        """Take limits over from a changed spec, for the clients that are there and those to come."""
        for option in fields(Options):
            setattr(self._options, option.name, getattr(spec, option.name))
        self.clients.most = spec.max_connections
        self.clients.most_of_one = spec.max_per_peer
        self.clients.permit = self._keeper.permit
        if spec.backlog != self.listener.backlog:
            self.listener.backlog = spec.backlog
            self.listener.listen()
        inside = (client.connection for client in self.clients.all())
        for sock in (self.listener, *inside):  # accepted sockets inherit it from the listener
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, spec.nodelay)
                if sys.platform == "linux":
                    rate = UNPACED if spec.max_rate is None else spec.max_rate
                    sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, rate)
        if self._idle_watch is not None:
            self._idle_watch.cancel()
            self._idle_watch = None
        if spec.idle_timeout is not None:
            watching = self.clients.hang_up_idle(spec.idle_timeout)
            self._idle_watch = asyncio.create_task(watching, name=f"server:{self.name}/idle")
            self.adopt(self._idle_watch)

    @property
    def waiting(self) -> int:
        """Clients in the accept queue."""
        try:
            return tcp_info.waiting(self.listener)
        except OSError:  # closed, or retired
            return 0

    @property
    def traffic(self) -> Traffic:
        """Of the connections that are open now."""
        return self.clients.traffic

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time of a variant's own threads; None for one that runs on the loop and has none."""
        with self._threads_guard:
            clocks = list(self._threads.values())
        if self._worker:
            clocks.append(self._worker.cpu)
        elif not clocks and not self._cpu_of_ended:
            return None
        return self._cpu_of_ended + sum(clock.seconds for clock in clocks)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that run for it, its own first."""
        own = [self._worker.thread] if self._worker else []
        with self._threads_guard:
            return own + list(self._threads)

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Those that run for it, its own first."""
        return [self.task, *self._children]

    # As the owner of what serving creates

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._children.add(task)
        task.add_done_callback(self._children.discard)

    def adopt_thread(self, thread: threading.Thread, work: Callable[[], None]) -> Callable[[], None]:
        if self._worker is not None and thread is self._worker.thread:
            return work
        clock = CpuClock()
        with self._threads_guard:
            self._threads[thread] = clock

        def watched() -> None:
            clock.begin()
            try:
                work()
            finally:
                clock.end()
                with self._threads_guard:
                    del self._threads[thread]
                    self._cpu_of_ended += clock.seconds
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._thread_ended.set)

        return watched

    def give_up_thread(self, thread: threading.Thread) -> None:
        with self._threads_guard:
            self._threads.pop(thread, None)

    def adopt_selector(self, selector: selectors.BaseSelector) -> None:
        self.selectors.add(selector)

    def logged(self, message: str) -> None:
        self._keeper.noted(message)

    def failed(self, error: BaseException, net: str) -> bool:
        try:
            return not self._expects(error) and self._keeper.caught(self, error, net)
        except Exception:  # watching must not hurt what is watched
            # In a context of nobody's: what is logged in the run's own comes back here.
            contextvars.Context().run(log.exception, "an exception of %s could not be kept", self.name)
            return True

    def _expects(self, error: BaseException) -> bool:
        """Whether this is how things end when sockets are shut from here, and no failure."""
        if isinstance(error, BaseExceptionGroup):
            return all(self._expects(one) for one in error.exceptions)
        if not isinstance(error, OSError):
            return False
        connection = connection_of(error, self.variant.path)
        return self._stopping or (connection is not None and connection.client.hung_up)

    # Its end

    def retire(self) -> None:
        """Close further clients; those inside go on."""
        self._stopping = True
        self.listener.retire(self._knock_at)
        self.clients.refuse()

    def sever(self) -> None:
        """Shut all its sockets; callable on every thread."""
        self._stopping = True
        self._shut_sockets()

    async def stop(self, grace: float) -> list[str]:
        """End it within about this many seconds; returns what did not obey (thread or task names), usually nothing."""
        self._stopping = True
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
        with self._threads_guard:
            left += [thread.name for thread in self._threads]
        self._close_sockets()
        return left

    async def _main(self) -> None:
        OWNER.set(self)
        try:
            if self.variant.runs_on == "loop":
                await cast("Awaitable[None]", self.variant.serve(self.listener, self._options))
            else:
                await self._in_thread()
        except OSError:
            if not self._stopping:
                raise
        except (SystemExit, KeyboardInterrupt) as error:  # the loop would end with it, and the whole app
            raise RuntimeError(f"serve ended with {error!r}") from error
        finally:
            self._serving = False
            self._shut_sockets()
            await self._end_children()
            await self._end_threads()
            self._close_sockets()

    async def _in_thread(self) -> None:
        self._worker = Worker(f"server:{self.name}", lambda: self.variant.serve(self.listener, self._options))
        self._worker.start()
        await self._worker.ended

    async def _end_children(self) -> None:
        if children := set(self._children):
            for task in children:
                task.cancel()
            await asyncio.wait(children, timeout=CHILDREN_GRACE)

    async def _end_threads(self) -> None:
        """Wait for them: without their sockets they have nothing to wait for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CHILDREN_GRACE):
                while self._threads:
                    self._thread_ended.clear()
                    if self._threads:
                        await self._thread_ended.wait()

    def _shut_sockets(self) -> None:
        self.clients.refuse()
        self.listener.shut(self._knock_at)
        self.clients.hang_up_all()

    @property
    def _knock_at(self) -> tuple[str, int] | None:
        return self.address if any(thread.is_alive() for thread in self.threads) else None

    def _close_sockets(self) -> None:
        self.listener.close()
        self.clients.close_all()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._shut_sockets()  # one that is cancelled before its first step has not come to its own end
        self._close_sockets()
        error: BaseException | None = None
        if not task.cancelled():
            error = task.exception()
        elif not self._stopping:
            error = RuntimeError("the server's task was cancelled by something other than a stop")
        if error is not None:
            self.failed(error, "serve")
        self._keeper.ended(self, error)
