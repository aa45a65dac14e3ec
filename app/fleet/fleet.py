"""This app as a node of a fleet: joining, leaving, draining, and what it knows of the others."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import ssl
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from app.errors import EngineSilent, LastNode, NodeLost, NodeSilent, Unknown
from app.etcd.fence import Fence
from app.etcd.gateway import Access, EngineUnusable, Gateway, absent, created_at, put
from app.etcd.health import HealthMonitor
from app.etcd.lease import Lease, LeaseRefused, LeaseTimes
from app.fleet.keeper import Keeper
from app.fleet.keys import NodeValue, node_key
from app.fleet.peers import Peers
from app.fleet.picture import Picture
from app.fleet.registry import FleetRegistry
from app.fleet.waiting import Waiting
from app.supervising.supervisor import Supervisor

log = logging.getLogger("echodeck.fleet")

SECONDS_FOR_ENGINE = 15.0
"""At the start the engine may start, too."""

STALE_AFTER = 1.5

LOST_FOR = 600.0
"""Seconds for which a lost node is listed if no server is pinned to it."""

NodeState = Literal["ready", "draining", "fenced", "lost"]


class CannotJoin(Exception):
    """The message says why."""


@dataclass(frozen=True)
class FleetSettings:
    access: Access
    node: str
    serves_on: str
    times: LeaseTimes
    rebalances: bool = True


class Fleet:
    """Made on the loop that runs the supervisor's servers."""

    def __init__(self, settings: FleetSettings, supervisor: Supervisor, token: str | None, version: str) -> None:
        self.node = settings.node
        self.supervisor = supervisor
        self._seen: dict[str, NodeValue] = {}
        self._lost: dict[str, float] = {}  # when
        self._settings = settings
        self._version = version
        self._since = datetime.now(UTC)
        self._life = token_hex(8)
        self._url = ""
        self._registered = 0
        self.gateway = Gateway(settings.access)
        self.health = HealthMonitor(self.gateway)
        self.fence = Fence(self._fence_fell)
        self.lease = Lease(self.gateway, settings.times, self.fence, self._register)
        self.picture = Picture(self.gateway, self._altered)
        self.peers = Peers(self.node, self.picture, token)
        self.registry = FleetRegistry(self.node, self.gateway, self.picture, self.lease, self.fence)
        self.waiting = Waiting(self.holder, supervisor, self.picture, self.gateway, self.fence, self.registry)
        self.keeper: Keeper | None = None
        self.fences = 0
        self._tasks: list[asyncio.Task[None]] = []
        supervisor.registry = self.registry

    # Its own start and end

    async def join(self, url: str) -> None:
        """Return when this is a node of the fleet, which others reach at this URL.

        Raises:
            CannotJoin: why not.
        """
        self._url = url
        self.keeper = Keeper(
            self.node,
            self.supervisor,
            self.gateway,
            self.picture,
            self.lease,
            self.fence,
            self.registry,
            rebalances=self._settings.rebalances,
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + SECONDS_FOR_ENGINE
        while True:
            try:
                await self.gateway.check()
                await self.picture.read()
                await self._check_token()
                await self.lease.begin()
                break
            except EngineUnusable as reason:
                raise CannotJoin(str(reason)) from None
            except (EngineSilent, _NameInUse) as reason:
                if isinstance(reason, _NameInUse):
                    until = min(until, loop.time() + self._settings.times.ttl + 2)
                if loop.time() >= until:
                    raise CannotJoin(str(reason)) from None
                await asyncio.sleep(0.3)
        self.fence.start()
        for name, work in (
            ("fleet: lease", self.lease.keep()),
            ("fleet: keys", self.picture.follow()),
            ("fleet: servers", self.keeper.keep()),
            ("fleet: freshness", self._stay_fresh()),
            ("fleet: etcd", self.health.run()),
        ):
            self._start(name, work)
        self.keeper.wake()
        log.info("this is the node %s of the fleet, at %s", self.node, url)

    async def leave(self) -> None:
        """Give back what floats, and the lease."""
        if self.keeper is None:
            return
        self.keeper.leaving = True
        with suppress(EngineSilent):
            if self.lease.id is not None:
                await self._write_node()
            await self.keeper.give_back_all()
        await self.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        self.fence.stop()
        with suppress(EngineSilent):
            await self.lease.end()
        await self.peers.close()
        await self.gateway.close()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context()))

    # What it is, and the others

    @property
    def value(self) -> NodeValue:
        return NodeValue(
            url=self._url,
            serves_on=self._settings.serves_on,
            version=self._version,
            drains=self.keeper is not None and self.keeper.drains,
            leaves=self.keeper is not None and self.keeper.leaving,
            life=self._life,
            since=self._since.isoformat(),
        )

    @property
    def claims(self) -> int:
        """That this node has made."""
        return self.keeper.claims if self.keeper else 0

    @property
    def given_back(self) -> int:
        return self.keeper.moved if self.keeper else 0

    @property
    def seconds(self) -> float:
        """That a renewed lease lasts here."""
        return self._settings.times.fence

    @property
    def life(self) -> str:
        return self._life

    @property
    def state(self) -> NodeState:
        if not self.fence.open:
            return "fenced"
        return "ready" if self.value.takes else "draining"

    def nodes(self) -> dict[str, tuple[NodeState, NodeValue]]:
        """All that there are, and those that were lost lately or that a server is pinned to, by name."""
        found: dict[str, tuple[NodeState, NodeValue]] = {}
        self._forget_lost()
        for name, value in self._seen.items():
            known = self.picture.nodes.get(name)
            state: NodeState = "lost" if known is None else "ready" if known.value.takes else "draining"
            found[name] = (state, known.value if known else value)
        found[self.node] = (self.state, self.value)
        return dict(sorted(found.items()))

    def check_node(self, name: str) -> None:
        """Raises:
        Unknown: there is and was no such node.
        """
        if name not in self.nodes():
            raise Unknown(f"There is no node {name!r}.", what="node", known=sorted(self.nodes()))

    def others(self) -> list[str]:
        """Names of the other nodes that there are now."""
        return [name for name in self.picture.nodes if name != self.node]

    def load(self) -> dict[str, int]:
        """How many servers each node has, by the engine's word."""
        return self.keeper.load(list(self.picture.nodes)) if self.keeper else {}

    def takers(self) -> list[str]:
        """Who could take a new server, the least servers first; this node at least."""
        load = self.keeper.load(self.keeper.takers()) if self.keeper else {}
        return sorted(load, key=lambda node: (load[node], node != self.node, node)) or [self.node]

    def holder(self, server: str) -> str | None:
        """The node that has this server, as far as is known; None if none has."""
        if self.supervisor.has(server):
            return self.node
        known = self.picture.servers.get(server)
        if known is None:
            return None
        if known.value.on is not None:
            return str(known.value.on)
        claim = self.picture.claims.get(server)
        return None if claim is None else str(claim.value.node)

    # Draining

    async def drain(self) -> None:
        """Take nothing from now on; return when what floats was given back.

        Raises:
            LastNode: nobody else would take it.
        """
        assert self.keeper is not None
        others = [name for name in self.others() if self.picture.nodes[name].value.takes]
        floating = [server for server in self.supervisor.servers() if server.spec.on is None]
        if floating and not others:
            raise LastNode(
                f"{self.node!r} is the only node that takes servers, and {len(floating)} float here; add a node, "
                "resume one, or pin them with `on`.",
                node=self.node,
            )
        await self._set_drains(True)
        await self.keeper.give_back_all()

    async def resume(self) -> None:
        await self._set_drains(False)

    async def _set_drains(self, drains: bool) -> None:
        assert self.keeper is not None
        self.registry.check()
        before, self.keeper.drains = self.keeper.drains, drains
        try:
            await self._write_node()
        except EngineSilent:
            self.keeper.drains = before
            raise
        self.keeper.wake()

    # How

    async def _write_node(self) -> None:
        value, lease = self.value, self.lease.id or 0
        outcome = await self.gateway.transact(
            [created_at(node_key(self.node), self._registered)], [put(node_key(self.node), value.text(), lease)]
        )
        if not outcome.held:
            raise EngineSilent("This node has just lost its lease; try again.")
        self.picture.take(node_key(self.node), value, outcome.revision, lease, self._registered)

    async def _register(self, lease: int) -> None:
        value = self.value
        outcome = await self.gateway.transact(
            [absent(node_key(self.node))], [put(node_key(self.node), value.text(), lease)]
        )
        if not outcome.held:
            await self.picture.read()
            other = self.picture.nodes.get(self.node)
            where = f", at {other.value.url}" if other else ""
            raise _NameInUse(f"there is a node {self.node!r} already{where}; choose another name with --node")
        self._registered = outcome.revision
        self.picture.take(node_key(self.node), value, outcome.revision, lease, outcome.revision)

    async def _check_token(self) -> None:
        """Raises:
        CannotJoin: another node has another token.
        """
        for name in self.others():
            try:
                await self.peers.headers(name)
            except (NodeLost, NodeSilent) as reason:
                if "another token" in reason.detail:
                    raise CannotJoin(f"the token of this node is not that of the fleet: {reason.detail}") from None

    async def _stay_fresh(self) -> None:
        """A watch may be cut off without a word: the engine's answers say how far it is."""
        behind_since = None
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.5)
            if self.gateway.revision <= self.picture.revision:
                behind_since = None
            elif behind_since is None:
                behind_since = loop.time()
            elif loop.time() > behind_since + STALE_AFTER:
                behind_since = None
                self.picture.go_on()

    def _altered(self) -> None:
        now = time.monotonic()
        self._seen = {name: one for name, one in self._seen.items() if name in self.picture.nodes or not one.leaves}
        for name, known in self.picture.nodes.items():
            self._seen[name] = known.value
        self._lost = {name: self._lost.get(name, now) for name in self._seen.keys() - self.picture.nodes.keys()}
        if self.keeper is not None:
            self.keeper.wake()

    def _forget_lost(self) -> None:
        old = {name for name, lost in self._lost.items() if time.monotonic() > lost + LOST_FOR}
        if old:
            pinned_to = {one.value.on for one in self.picture.servers.values()}
            for name in old - pinned_to:
                del self._seen[name], self._lost[name]

    def _fence_fell(self) -> None:
        self.fences += 1
        log.warning("the lease is over: what floats ends on this node")
        if self.keeper is not None:
            self.keeper.fence_fell()


class _NameInUse(LeaseRefused):
    pass


def tls_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Raises:
    OSError: a file cannot be read.
    """
    context = ssl.create_default_context(cafile=ca)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
