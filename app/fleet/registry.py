"""The registry of a fleet's node: the servers are written into the engine, each by the node that has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.errors import EngineSilent, Invalid, NameTaken, Refusal, Unknown, gone_elsewhere
from app.etcd.fence import Fence
from app.etcd.gateway import Gateway, absent, changed_at, created_at, delete, put
from app.etcd.lease import Lease
from app.fleet.keys import ClaimValue, ServerValue, claim_key, server_key
from app.fleet.picture import Known, Picture
from app.supervising.registry import Added
from app.supervising.server import Desired, Server
from app.supervising.spec import ServerSpec


class FleetRegistry:
    """``busy`` are the names of servers that are just being made, removed or handed over here: what the picture says of
    them is behind."""

    keeps_here = False

    def __init__(self, node: str, gateway: Gateway, picture: Picture, lease: Lease, fence: Fence) -> None:
        self.permit = fence
        self.busy: set[str] = set()
        self.node = node
        self._gateway = gateway
        self._picture = picture
        self._lease = lease
        self._fence = fence
        self._dirty: dict[str, Server] = {}
        self._flushing = asyncio.Lock()

    # What the supervisor asks for

    def check(self) -> None:
        if not self._fence.open or self._lease.id is None:
            raise EngineSilent("The fleet's engine does not answer this node; nothing of the fleet can change now.")

    def check_on(self, on: str | None) -> None:
        if on is not None and on != self.node and on not in self._picture.nodes:
            known = ", ".join(sorted(self._picture.nodes))
            raise Invalid(f"There is no node {on!r}; there are {known}.", field="on")

    def name_for(self, variant: str, port: int) -> str:
        name = f"{variant}-{port}"
        return f"{name}-{self.node}"[:63] if name in self._picture.servers else name

    @asynccontextmanager
    async def adding(self, name: str, spec: ServerSpec, desired: Desired) -> AsyncIterator[Added]:
        if spec.on not in (None, self.node):
            raise Invalid(f"This is the node {self.node!r}; the server is for another one.", field="on")
        if name in self._picture.servers or name in self.busy:  # by another call to this node, perhaps
            raise self._taken(name)
        self.busy.add(name)
        try:
            value = ServerValue(spec=_plain(spec), wish=desired, on=spec.on)
            changes = [put(server_key(name), value.text())]
            conditions = [absent(server_key(name))]
            lease, claim = self._lease.id or 0, ClaimValue(node=self.node)
            if spec.on is None:
                changes.append(put(claim_key(name), claim.text(), lease))
                conditions.append(absent(claim_key(name)))
            outcome = await self._gateway.transact(conditions, changes)
            if not outcome.held:
                raise self._taken(name)
            at = outcome.revision
            self._picture.take(server_key(name), value, at, 0, at)
            if spec.on is None:
                self._picture.take(claim_key(name), claim, at, lease, at)
            yield Added(at, at if spec.on is None else None)
        finally:
            self.busy.discard(name)

    def save(self, server: Server) -> None:
        known = self._picture.servers.get(server.name)
        if known is None or self._value(server, known) != known.value or server.name in self._dirty:
            self._dirty[server.name] = server

    @asynccontextmanager
    async def removing(self, server: Server) -> AsyncIterator[None]:
        name = server.name
        self.busy.add(name)
        try:
            yield
            known = self._picture.servers.get(name)
            if known is not None:
                outcome = await self._gateway.transact(
                    self._still_ours(known), [delete(server_key(name)), delete(claim_key(name))]
                )
                if not outcome.held:
                    raise gone_elsewhere(name)
                self._picture.forget(server_key(name), outcome.revision)
                self._picture.forget(claim_key(name), outcome.revision)
            self._dirty.pop(name, None)
        finally:
            self.busy.discard(name)

    def not_here(self, name: str) -> Refusal:
        if name in self._picture.servers:
            return gone_elsewhere(name)
        return Unknown(f"There is no server {name!r}.", what="server")

    async def flush(self) -> None:
        async with self._flushing:  # who finds nothing to be written may have been told of what is being written
            while self._dirty:
                name, server = self._dirty.popitem()
                try:
                    await self._write(server)
                except EngineSilent:
                    self._dirty.setdefault(name, server)
                    raise

    # How

    async def _write(self, server: Server) -> None:
        name = server.name
        known = self._picture.servers.get(name)
        if known is None or server.removed:
            return
        value = self._value(server, known)
        if value == known.value:
            return
        conditions = [*self._still_ours(known), changed_at(server_key(name), known.changed)]
        changes = [put(server_key(name), value.text())]
        moved, lease, claim = value.on != known.value.on, self._lease.id or 0, ClaimValue(node=self.node)
        if moved and value.on is not None:
            changes.append(delete(claim_key(name)))
        elif moved:  # it floats from now on, and begins here
            conditions.append(absent(claim_key(name)))
            changes.append(put(claim_key(name), claim.text(), lease))
        outcome = await self._gateway.transact(conditions, changes)
        if not outcome.held:
            raise gone_elsewhere(name)
        self._picture.take(server_key(name), value, outcome.revision, 0)
        if moved and value.on is not None:
            self._picture.forget(claim_key(name), outcome.revision)
            server.epoch = None
        elif moved:
            self._picture.take(claim_key(name), claim, outcome.revision, lease, outcome.revision)
            server.epoch = outcome.revision

    def _value(self, server: Server, known: Known) -> ServerValue:
        """Fields that this node does not know stay as another one wrote them."""
        return ServerValue(spec={**known.value.spec, **_plain(server.spec)}, wish=server.desired, on=server.spec.on)

    def _still_ours(self, known: Known) -> list[dict[str, Any]]:
        """The condition under which this node may write about the server.

        Raises:
            NobodyRunsIt: it may not, by what is known here.
        """
        if known.value.on is not None:
            if known.value.on == self.node:
                return []
        elif (claim := self._picture.claims.get(known.name)) and claim.lease == self._lease.id:
            return [created_at(claim_key(known.name), claim.created)]
        raise gone_elsewhere(known.name)

    def _taken(self, name: str) -> NameTaken:
        return NameTaken(
            f"There is a server {name!r} already; choose another name.", field="name", server=f"/servers/{name}"
        )


def _plain(spec: ServerSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"on"})


def spec_of(name: str, value: ServerValue) -> ServerSpec:
    """Raises:
    ValueError: this node cannot read it.
    """
    known = {field: given for field, given in value.spec.items() if field in ServerSpec.model_fields}
    return ServerSpec.model_validate({**known, "name": name, "on": value.on})
