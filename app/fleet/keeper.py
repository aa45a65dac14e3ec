"""Keeps the servers of this node to what the picture says: takes those that are its own, claims those that nobody has,
lets go of the rest.

One step at a time looks at all of it anew, whatever brought it about; so nothing depends on having seen every change.
While nothing has changed, a step looks at the servers that are here only: a fleet may have very many.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Iterable
from contextlib import suppress

from app.errors import EngineSilent, NobodyRunsIt, Refusal
from app.etcd.fence import Fence
from app.etcd.gateway import Gateway, absent, changed_at, created_at, delete, put
from app.etcd.lease import Lease
from app.fleet.keys import ClaimValue, claim_key, server_key
from app.fleet.picture import Known, Picture
from app.fleet.placement import assigned, gives_one_up, loads
from app.fleet.registry import FleetRegistry, spec_of
from app.supervising.lifecycle import ExitReason, State
from app.supervising.supervisor import Supervisor

log = logging.getLogger("echodeck.fleet")

LOOKS_EVERY = 0.5
LOOKS_AT_ALL_EVERY = 5.0
APART = 0.02
"""Seconds between two looks at least: a thousand changes at once are dealt with in a few."""

AT_ONCE = 50
"""Servers that are taken or let go at the same time."""

OTHERS_MAY_TAKE = (0.4, 0.8)
"""Seconds after which a server is taken by whoever comes first, if the node that it was meant for has not taken it."""

PASSES_FOR = 10.0
"""Seconds for which a node leaves a server to others after it could not have its port."""

REBALANCE_EVERY = 1.0


class Keeper:
    """``drains`` and ``leaving``: take nothing, and give what floats back."""

    def __init__(
        self,
        node: str,
        supervisor: Supervisor,
        gateway: Gateway,
        picture: Picture,
        lease: Lease,
        fence: Fence,
        registry: FleetRegistry,
        *,
        rebalances: bool,
    ) -> None:
        self.drains = False
        self.leaving = False
        self.claims = 0
        self.moved = 0
        self._node = node
        self._supervisor = supervisor
        self._gateway = gateway
        self._picture = picture
        self._lease = lease
        self._fence = fence
        self._registry = registry
        self._rebalances = rebalances
        self._woken = asyncio.Event()
        self._step = asyncio.Lock()
        self._seen = -1  # version of the picture
        self._all_due = 0.0
        self._was_busy = False
        self._loop = asyncio.get_running_loop()
        self._orphans: dict[str, float] = {}
        self._passed: dict[str, tuple[float, str]] = {}
        self._unusable: dict[str, int] = {}  # as of which revision
        self._rebalanced = time.monotonic()

    def wake(self) -> None:
        self._woken.set()

    def fence_fell(self) -> None:
        """On the fence's thread: end what floats, whatever the loop does."""
        for name in self._floating():
            with suppress(Refusal):  # gone meanwhile
                self._supervisor.server(name).sever()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._woken.set)

    async def keep(self) -> None:
        """For ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOKS_EVERY):
                    await self._woken.wait()
            self._all_due = 0.0 if self._woken.is_set() else self._all_due
            self._woken.clear()
            try:
                await self.step()
                await asyncio.sleep(APART)
            except EngineSilent:
                await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311
            except Exception:
                log.exception("the node could not be kept to what the fleet wants")
                await asyncio.sleep(1)

    async def step(self) -> None:
        async with self._step:
            now, busy = time.monotonic(), bool(self._registry.busy)
            if self._picture.version != self._seen or busy or self._was_busy or now >= self._all_due:
                self._seen, self._was_busy, self._all_due = self._picture.version, busy, now + LOOKS_AT_ALL_EVERY
                try:
                    await self._look_at_all()
                except BaseException:
                    self._all_due = 0.0
                    raise
            if not self._fence.open:
                return
            await self._all(self._look_after(name) for name in self._floating() if self._is_claimed_here(name))
            with suppress(NobodyRunsIt):  # it went meanwhile
                await self._registry.flush()  # what was decided without a command: that it is not to run again

    async def _look_at_all(self) -> None:
        wanted = self._wanted()
        busy = self._registry.busy
        severed = {server.name for server in self._supervisor.servers() if server.severed}
        await self._all(self._let_go(name) for name in ((self._here() - wanted.keys()) | severed) - busy)
        if not self._fence.open:
            self._all_due = 0.0
            return
        known_here = self._here() | busy
        await self._all(self._take(one) for name, one in wanted.items() if name not in known_here)
        if not (self.drains or self.leaving):
            await self._all(self._claim(name) for name in self._to_claim())
            await self._rebalance()

    async def give_back_all(self) -> None:
        """What floats is let go, and the claims with it; others take it."""
        async with self._step:
            await self._all(self._give_back(name, "is handed over") for name in self._floating())

    # What should be

    def _here(self) -> set[str]:
        return {server.name for server in self._supervisor.servers()}

    def _floating(self) -> set[str]:
        return {server.name for server in self._supervisor.servers() if server.spec.on is None}

    def _is_claimed_here(self, name: str) -> bool:
        claim = self._picture.claims.get(name)
        return (
            claim is not None
            and claim.value.node == self._node
            and claim.lease == self._lease.id
            and self._fence.open
            and not self.leaving
        )

    def _wanted(self) -> dict[str, Known]:
        return {
            name: one
            for name, one in self._picture.servers.items()
            if (one.value.on == self._node if one.value.on is not None else self._is_claimed_here(name))
        }

    def takers(self) -> list[str]:
        return [name for name, one in self._picture.nodes.items() if one.value.takes]

    def load(self, nodes: list[str]) -> dict[str, int]:
        """How many servers each of these nodes has."""
        claims = self._picture.claims
        return loads(
            (
                one.value.on or (claims[name].value.node if name in claims else "")
                for name, one in self._picture.servers.items()
            ),
            nodes,
        )

    def _to_claim(self) -> list[str]:
        orphans = {
            name
            for name, one in self._picture.servers.items()
            if one.value.on is None and name not in self._picture.claims and name not in self._registry.busy
        }
        now = time.monotonic()
        self._orphans = {name: self._orphans.get(name, now + random.uniform(*OTHERS_MAY_TAKE)) for name in orphans}  # noqa: S311
        self._passed = {name: one for name, one in self._passed.items() if name in self._picture.servers}
        meant_for = assigned(orphans, self.load(self.takers()))
        found = [name for name in orphans if meant_for.get(name) == self._node or self._orphans[name] <= now]
        if orphans:
            self._loop.call_later(OTHERS_MAY_TAKE[1], self._woken.set)
        return sorted(name for name in found if not self._leaves_to_others(name, now))

    def _leaves_to_others(self, name: str, now: float) -> bool:
        until, _ = self._passed.get(name, (0.0, ""))
        return now < until or self._unusable.get(name) == self._picture.servers[name].changed

    # Steps

    async def _take(self, known: Known) -> None:
        try:
            spec = spec_of(known.name, known.value)
            claim = self._picture.claims.get(known.name)
            epoch = claim.created if claim and spec.on is None else None
            await self._supervisor.adopt(known.created, known.name, spec, known.value.wish, epoch)
        except (Refusal, ValueError) as reason:
            why = reason.detail if isinstance(reason, Refusal) else "it is of another version"
            if self._unusable.get(known.name) != known.changed:
                self._unusable[known.name] = known.changed
                log.error("the server %s cannot be had on this node: %s", known.name, why)
            if known.value.on is None:
                await self._drop_claim(known.name)
            return
        if epoch is not None:
            self._note(known.name, f"is on {self._node} now, by claim {epoch}")

    async def _let_go(self, name: str) -> None:
        self._registry.busy.add(name)
        try:
            await self._supervisor.release(name)
        finally:
            self._registry.busy.discard(name)
            self.wake()

    async def _claim(self, name: str) -> None:
        server = self._picture.servers.get(name)
        if server is None:
            return
        lease, claim = self._lease.id or 0, ClaimValue(node=self._node)
        outcome = await self._gateway.transact(
            [absent(claim_key(name)), changed_at(server_key(name), server.changed)],
            [put(claim_key(name), claim.text(), lease)],
        )
        if not outcome.held:
            return  # another was faster; the watch will tell
        self.claims += 1
        self._orphans.pop(name, None)
        self._picture.take(claim_key(name), claim, outcome.revision, lease, outcome.revision)
        if self._is_claimed_here(name) and not self._supervisor.has(name):
            await self._take(server)

    async def _give_back(self, name: str, why: str) -> None:
        self._registry.busy.add(name)
        try:
            self._note(name, why)
            await self._supervisor.release(name)
            await self._drop_claim(name)
            self.moved += 1
        finally:
            self._registry.busy.discard(name)

    async def _drop_claim(self, name: str) -> None:
        claim = self._picture.claims.get(name)
        if claim is not None and claim.value.node == self._node:
            outcome = await self._gateway.transact(
                [created_at(claim_key(name), claim.created)], [delete(claim_key(name))]
            )
            self._picture.forget(claim_key(name), outcome.revision)

    async def _look_after(self, name: str) -> None:
        """Say in the claim where it listens; leave it to others if it cannot listen here."""
        if not self._supervisor.has(name) or name in self._registry.busy:
            return
        server, claim = self._supervisor.server(name), self._picture.claims.get(name)
        if claim is None or not self._is_claimed_here(name):
            return
        ended = server.exit
        if server.state is State.BACKOFF and ended is not None and ended.reason is ExitReason.UNAVAILABLE:
            if len(self.takers()) > 1:
                before = self._passed.get(name, (0.0, ""))[1]
                self._passed[name] = (time.monotonic() + PASSES_FOR, ended.message)
                news = before != ended.message
                await self._give_back(name, f"{self._node} passes: {ended.message}" if news else "")
            return
        if server.listens_at:
            self._passed.pop(name, None)
        address = "{}:{}".format(*server.listens_at) if server.listens_at else None
        if claim.value.address != address:
            value = ClaimValue(node=self._node, address=address)
            outcome = await self._gateway.transact(
                [created_at(claim_key(name), claim.created)], [put(claim_key(name), value.text(), claim.lease)]
            )
            if outcome.held:
                self._picture.take(claim_key(name), value, outcome.revision, claim.lease, claim.created)

    async def _rebalance(self) -> None:
        now = time.monotonic()
        if not self._rebalances:
            return
        if now < self._rebalanced + REBALANCE_EVERY:
            self._all_due = min(self._all_due, self._rebalanced + REBALANCE_EVERY)
            return
        self._rebalanced = now
        if self._orphans or not gives_one_up(self._node, self.load(self.takers())):
            return
        self._loop.call_later(REBALANCE_EVERY, self._woken.set)
        idle = [
            server.name
            for server in self._supervisor.servers()
            if server.spec.on is None
            and not server.tally.open
            and not server.waiting
            and server.name not in self._registry.busy
        ]
        if idle:
            await self._give_back(idle[-1], "is handed over, to have the nodes more even")

    def _note(self, name: str, what: str) -> None:
        if what:
            self._supervisor.chronicle.note(name, what)

    async def _all(self, works: Iterable[Awaitable[None]]) -> None:
        """Some at a time; one that fails does not hinder the others."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(work: Awaitable[None]) -> None:
            async with turns:
                await work

        outcomes = await asyncio.gather(*(one(work) for work in works), return_exceptions=True)
        silent = None
        for outcome in outcomes:
            if isinstance(outcome, EngineSilent):
                silent = outcome
            elif isinstance(outcome, Exception):
                log.error("a server could not be taken or let go", exc_info=outcome)
        if silent is not None:
            raise silent
