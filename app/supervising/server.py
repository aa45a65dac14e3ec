"""One server under supervision: its wishes (spec, desired), its state, and its run while it has one.

Commands on a server take turns (one lock a server, none across servers). What happens by itself, a run that ends, needs
no turn: it moves the state in one step of the loop, and a command that waited finds it moved.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.addresses import format_address
from app.clock import Clock
from app.connections.client import Client
from app.connections.clients import Permit
from app.connections.roster import Roster
from app.connections.tally import Tally
from app.errors import Interrupted, NotStopped, Refusal, ShuttingDown, Unknown, gone_elsewhere
from app.history.blame import in_words, leaf, message_of, traceback_of
from app.history.chronicle import Chronicle
from app.kernel.traffic import Traffic
from app.loop.command_lock import CommandLock
from app.supervising.backoff import Restart
from app.supervising.lifecycle import AT_REST, Event, Exit, ExitReason, State, after
from app.supervising.precondition import UNCONDITIONAL, IfMatch, etag
from app.supervising.retry import Retry
from app.supervising.run import Run
from app.supervising.spec import PLACE, ServerPatch, ServerSpec
from servers import Listener, Variant

log = logging.getLogger("echodeck.server")

Desired = Literal["running", "stopped"]


@dataclass(frozen=True)
class Surroundings:
    """What a server needs of its supervisor.

    ``listen`` opens the socket for a spec, or raises the refusal; ``save`` is called when the spec or the wish changed;
    ``share`` says how much of the loop the server of a name takes, None if that is not known; ``permit`` whether
    servers that float may serve; ``host`` the address or name for a spec; ``node`` is this app's name in a fleet;
    ``closing`` says whether the app is ending.
    """

    clock: Clock
    stop_grace: float
    variant: Callable[[str], Variant]
    listen: Callable[[ServerSpec], Awaitable[Listener]]
    chronicle: Chronicle
    roster: Roster
    share: Callable[[str], float | None]
    save: Callable[[Server], None]
    permit: Callable[[], Permit | None]
    host: Callable[[ServerSpec], str]
    node: str
    closing: Callable[[], bool]


@dataclass(frozen=True)
class _Waits:
    """Since when it cannot listen, and why at the latest try."""

    since: datetime
    detail: str


class Server:
    def __init__(self, serial: int, name: str, spec: ServerSpec, around: Surroundings) -> None:
        self.serial = serial
        self.name = name
        self.spec = spec
        self.state = State.STOPPED
        self.desired: Desired = "stopped"
        self.since = around.clock.wall()
        self.restarts = 0
        self.stops = 0  # runs that were ended on request
        self.exit: Exit | None = None
        self.tally = Tally()
        self.removed = False
        self.goes_away = False  # to another node of the fleet
        self.severed = False
        self.epoch: int | None = None  # of the claim by which this node has it, if it floats
        self._around = around
        self._lock = CommandLock()
        self._retry = Retry(name, around.clock, self._lock, self._try_again)
        self._run: Run | None = None
        self._began = 0.0
        self._cpu_before = 0.0
        self._drain_until: float | None = None
        self._ended_as = State.STOPPED
        self._waits: _Waits | None = None

    # What it is now

    @property
    def variant(self) -> Variant:
        return self._around.variant(self.spec.variant)

    @property
    def node(self) -> str:
        """The node that has it: this one, if this is one."""
        return self._around.node

    @property
    def host(self) -> str:
        return self._around.host(self.spec)

    @property
    def task(self) -> str | None:
        """The name of the run's task, while there is one."""
        return self._run.task.get_name() if self._run else None

    @property
    def run(self) -> Run | None:
        """From its start until nothing of it is left."""
        return self._run

    @property
    def listens_at(self) -> tuple[str, int] | None:
        """IP address and port, while there is a run."""
        return self._run.address if self._run else None

    @property
    def waiting(self) -> int:
        return self._run.waiting if self._run else 0

    @property
    def traffic(self) -> Traffic:
        return self.tally.ended + self._run.traffic if self._run and self.tally.open else self.tally.ended

    @property
    def cpu_seconds(self) -> float | None:
        """Of the server's own threads; None where it has none."""
        now = self._run.cpu_seconds if self._run else None
        if now is None and self.variant.runs_on == "loop":
            return self._cpu_before or None
        return self._cpu_before + (now or 0.0)

    @property
    def loop_share(self) -> float | None:
        """Of the event loop's time lately, 0 to 1; None for one that runs in threads, or when it is not measured."""
        return self._around.share(self.name) if self.variant.runs_on == "loop" else None

    @property
    def exceptions(self) -> int:
        """Raised and not cleared."""
        return self._around.chronicle.exception_count(self.name, self.serial)

    @property
    def threads(self) -> list[threading.Thread]:
        return self._run.threads if self._run else []

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        return self._run.tasks if self._run else []

    @property
    def clients(self) -> list[Client]:
        """The clients inside."""
        return self._run.clients.all() if self._run else []

    @property
    def etag(self) -> str:
        """Of its spec."""
        return etag(self.serial, self.spec)

    @property
    def permit(self) -> Permit | None:
        """What it takes to serve; None: nothing."""
        return self._around.permit() if self.spec.on is None else None

    def sever(self) -> None:
        """Shut its sockets this moment, as it goes away; callable on every thread. The stop is to follow."""
        self.goes_away = self.severed = True
        if (run := self._run) is not None:
            run.sever()

    # Commands

    async def start(self) -> None:
        """Return when it listens; nothing happens if it does already. A drain is cut short, and it starts anew.

        Raises:
            Refusal: why it cannot. It is stopped then.
        """
        self._cut_drain()
        async with self._turn():
            self._wish("running")
            await self._start()

    async def stop(self, drain: float = 0.0) -> None:
        """Return when nothing of it runs, or what does not end has been reported.

        ``drain`` seconds at most are given to connections that are open to end by themselves, while new clients are
        refused. During a drain, a stop with a shorter one, or with none, shortens it.
        """
        self._cut_start()
        self._cut_drain(drain)
        async with self._turn():
            self._wish("stopped")
            await self._stop(drain)

    async def restart(self) -> None:
        """Stop and start. Raises as ``start`` does."""
        self._cut_drain()
        async with self._turn():
            self._wish("running")
            await self._stop()
            await self._start()

    async def change(
        self,
        patch: ServerPatch,
        settle: Callable[[ServerSpec], Awaitable[ServerSpec]],
        if_match: IfMatch = UNCONDITIONAL,
    ) -> None:
        """Apply a patch, all of it or nothing. ``settle`` gives a new place its port, or raises if it cannot be.

        Raises:
            PreconditionFailed: the spec is not the one that ``if_match`` names.
            NotStopped: the patch moves the server elsewhere while it runs.
        """
        # A drain may take an hour, and keeps its turn; but it has nothing that a change of limits could disturb.
        async with nullcontext() if self._drain_until is not None else self._turn():
            if_match.check(self.etag)
            spec = patch.apply_to(self.spec)
            moved = [field for field in PLACE if getattr(spec, field) != getattr(self.spec, field)]
            if moved and self.state not in AT_REST:
                raise NotStopped(
                    f"{', '.join(moved)} can change only while the server is stopped; it is {self.state.value}.",
                    field=moved[0],
                    state=self.state.value,
                )
            if moved:
                spec = await settle(spec)
            if spec == self.spec:
                return
            if self._run is not None:
                self._run.apply(spec)
            self.spec = spec
            self._note("was changed")
            self._around.save(self)
            if self.state is State.BACKOFF and not spec.restart.wants(self._ended_as):
                await self._retry.cancel()
                self._wish("stopped")
                self._move(Event.STOP, "will not run again: its policy was changed")

    async def remove(self, if_match: IfMatch = UNCONDITIONAL) -> None:
        """Stop it for good.

        Raises:
            PreconditionFailed: the spec is not the one that ``if_match`` names.
        """
        if_match.check(self.etag)  # a start or drain is cut short only for a removal that may be
        self._cut_start()
        self._cut_drain()
        async with self._turn():
            if_match.check(self.etag)
            await self._stop()
            self.removed = True

    async def retire(self) -> None:
        """Stop because the app ends: what is wished for stays as it is."""
        self._cut_start()
        self._cut_drain()
        async with self._lock.hold():
            await self._stop()

    def begin(self, listener: Listener) -> None:
        """Start a server that was created with its socket; needs no turn, as nobody knows of it yet."""
        self._wish("running")
        self._move(Event.START)
        self._listen_on(listener)

    async def resume(self) -> None:
        """Start because it ran when the app ended, or a file says that it runs: now, or as soon as it can.

        Nobody is told of a failure: it is a crash, and the policy's; a port that somebody else has is waited for.
        """
        async with self._turn():
            self._wish("running")
            if self.state in AT_REST and not self._around.closing():
                self._retry.reset()
                self._move(Event.START)
                await self._try()

    # As the keeper of its run (``run.Keeper``)

    def noted(self, message: str) -> None:
        self._note(message)

    def caught(self, run: Run, error: BaseException, net: str) -> bool:
        return self._around.chronicle.caught(error, net, run.token, self.name, self.serial, run.variant)

    def ended(self, run: Run, error: BaseException | None) -> None:
        if run is not self._run or self.state is not State.RUNNING or self.severed:
            return  # being stopped, or about to be: the stop closes its books
        self._close_books(run)
        if error is None:
            self.exit = Exit(self._around.clock.wall(), ExitReason.RETURNED)
            self._move(Event.RETURNED, "came to its end")
            self._ended_as = State.EXITED
        else:
            self._crashed(error)
            log.error("%s crashed\n%s", self.name, traceback_of(error))
        self._consider_retry()

    # How

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._lock.hold():
            if self.removed:
                raise Unknown(f"The server {self.name!r} was removed.", what="server")
            if self.goes_away:
                raise gone_elsewhere(self.name)
            yield

    def _cut_start(self) -> None:
        """End a start that is under way: its server is about to be stopped."""
        if self.state is State.STARTING:
            self._lock.cut_short()

    def _cut_drain(self, left: float = 0.0) -> None:
        """End a drain that is under way within this many seconds."""
        if self._drain_until is not None:
            self._drain_until = min(self._drain_until, self._around.clock.now() + left)
            self._lock.cut_short()

    async def _start(self) -> None:
        if self.state is State.RUNNING:
            return
        if self._around.closing():
            raise ShuttingDown("The app is shutting down; nothing is started any more.")
        await self._retry.cancel()
        self._retry.reset()
        self._waits = None
        self._move(Event.START)
        try:
            listener = await self._lock.unless_cut_short(self._around.listen(self.spec))
            if listener is None:
                raise Interrupted(f"{self.name!r} was stopped while it started.")
        except BaseException as reason:
            self._wish("stopped")
            self._move(Event.REFUSED, f"cannot start: {reason}")
            raise
        self._listen_on(listener)

    def _listen_on(self, listener: Listener) -> None:
        self._began = self._around.clock.now()
        self._waits = None
        self._run = Run(self, listener, self._around.roster)
        self._move(Event.LISTENING, f"listens on {format_address(*self._run.address)}")

    async def _stop(self, drain: float = 0.0) -> None:
        await self._retry.cancel()
        self._waits = None
        if self.state is State.STOPPED:
            return
        run = self._run
        if run is None:
            self._move(Event.STOP, "was stopped")
            return
        if self.state is not State.STOPPING:  # else a stop began before and was cancelled
            self._move(Event.STOP)
            self.stops += 1
        if drain:
            await self._drain(run, drain)
        left = await run.stop(self._around.stop_grace)
        self._close_books(run)
        if left:
            log.error(
                "%s did not stop within %g s; left behind: %s", self.name, self._around.stop_grace, ", ".join(left)
            )
            self.exit = Exit(self._around.clock.wall(), ExitReason.ABANDONED, ", ".join(left))
        else:
            self.exit = Exit(self._around.clock.wall(), ExitReason.STOPPED)
        self._move(Event.ENDED, "stopped" if not left else f"was abandoned: {', '.join(left)} did not end")

    async def _drain(self, run: Run, seconds: float) -> None:
        now = self._around.clock.now
        self._drain_until = now() + seconds
        run.retire()
        while run.clients.all() and (left := self._drain_until - now()) > 0:
            await self._lock.unless_cut_short(run.clients.emptied(), left)
        self._drain_until = None

    def _crashed(self, error: BaseException) -> None:
        self._ended_as = State.CRASHED
        error = leaf(error)
        what = message_of(error) if isinstance(error, Refusal) else in_words(error)
        self.exit = Exit(self._around.clock.wall(), ExitReason.RAISED, what)
        self._move(Event.RAISED, f"crashed: {what}")

    def _close_books(self, run: Run) -> None:
        self._cpu_before += run.cpu_seconds or 0.0
        self._run = None

    def _consider_retry(self) -> None:
        if self._around.closing():
            return
        if not self.spec.restart.wants(self.state):
            self._wish("stopped")
            return
        self._move(Event.RETRY_DUE)
        delay = self._retry.schedule(self._around.clock.now() - self._began)
        if delay is None:
            most, window = self._retry.limit
            self._move(Event.GIVE_UP, f"failed: {most} restarts within {window:g} s did not help")
        else:
            self._note(f"runs again in {delay:.1f} s")

    async def _try_again(self) -> None:
        if self.state is State.BACKOFF:
            if self._waits is None:
                self.restarts += 1
            self._move(Event.RETRY)
            await self._try()

    async def _try(self) -> None:
        self._began = self._around.clock.now()
        try:
            listener = await self._lock.unless_cut_short(self._around.listen(self.spec))
        except Refusal as reason:
            if reason.passes and self.spec.restart is not Restart.NEVER:
                self._wait_to_listen(reason)
            else:
                self._crashed(reason)
                self._consider_retry()
            return
        except Exception as reason:  # whatever it is, nobody else waits for it
            self._crashed(reason)
            self._consider_retry()
            return
        if listener is None:
            self._move(Event.REFUSED, "was stopped while it started")
        else:
            self._listen_on(listener)

    def _wait_to_listen(self, reason: Refusal) -> None:
        """Try again for as long as it takes: to give up is for servers that crash."""
        if self._around.closing():
            self._move(Event.REFUSED)
            return
        since = self._waits.since if self._waits else self._around.clock.wall()
        news = self._waits is None or self._waits.detail != reason.detail
        self._waits = _Waits(since, reason.detail)
        self.exit = Exit(since, ExitReason.UNAVAILABLE, reason.detail)
        self._move(Event.UNAVAILABLE, self.exit.message if news else None)
        self.since = since
        self._retry.schedule_patiently()

    def _note(self, what: str) -> None:
        self._around.chronicle.note(self.name, what)

    def _move(self, event: Event, what: str | None = None) -> None:
        self.state = after(self.state, event)
        self.since = self._around.clock.wall()
        if what is not None:
            self._note(what)

    def _wish(self, desired: Desired) -> None:
        if desired != self.desired:
            self.desired = desired
            self._around.save(self)
