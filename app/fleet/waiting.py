"""Servers that no node has now: each waits for a node to take it, or for its own to come back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from app.errors import NobodyRunsIt
from app.etcd.fence import Fence
from app.etcd.gateway import Gateway, absent, changed_at, delete, put
from app.fleet.keys import claim_key, server_key
from app.fleet.picture import Known, Picture
from app.fleet.registry import FleetRegistry, spec_of
from app.shapes.servers import ConnectionCounts, ExitShape, ServerShape
from app.supervising.lifecycle import ExitReason, State
from app.supervising.precondition import UNCONDITIONAL, IfMatch, etag
from app.supervising.supervisor import Supervisor
from servers import discover

_RUNS_ON = {name: variant.runs_on for name, variant in discover().items()}


class Waiting:
    """``holder`` is asked for the node that has a server, as far as is known."""

    def __init__(
        self,
        holder: Callable[[str], str | None],
        supervisor: Supervisor,
        picture: Picture,
        gateway: Gateway,
        fence: Fence,
        registry: FleetRegistry,
    ) -> None:
        self._holder = holder
        self._supervisor = supervisor
        self._picture = picture
        self._gateway = gateway
        self._fence = fence
        self._registry = registry

    def all(self, told: Collection[str], silent: Collection[str]) -> list[dict[str, Any]]:
        """What REST says of them: of all servers but those that a node has ``told`` of, and those that a node may have
        that is ``silent`` now."""
        found = []
        for name in self._picture.servers.keys() - set(told):
            holder = self._holder(name)
            if holder is None or holder not in silent or holder not in self._picture.nodes:
                with suppress(ValueError):
                    found.append(self._told(name))
        return found

    def one(self, name: str) -> dict[str, Any] | None:
        """The same of one server; None if there is no such server, or a node should have it."""
        holder = self._holder(name)
        if name not in self._picture.servers or self._supervisor.has(name):
            return None
        if holder is not None and holder != self._registry.node and holder in self._picture.nodes:
            return None
        return self._told(name)

    def etag(self, name: str) -> str:
        """Of its spec, as the node that takes it will have it."""
        known = self._picture.servers[name]
        return etag(known.created, spec_of(name, known.value))

    async def remove(self, name: str, if_match: IfMatch = UNCONDITIONAL) -> None:
        """Raises:
        Refusal: the engine does not answer, or somebody has just changed or taken it.
        """
        self._registry.check()
        if_match.check(self.etag(name))
        revision = await self._write(name, delete(server_key(name)))
        self._picture.forget(server_key(name), revision)

    async def move(self, name: str, on: str | None, if_match: IfMatch = UNCONDITIONAL) -> None:
        """Pin it to another node, or have it float.

        Raises:
            Refusal: the engine does not answer, or somebody has just changed or taken it; there is no such node.
        """
        self._registry.check()
        self._registry.check_on(on)
        if_match.check(self.etag(name))
        value = self._picture.servers[name].value.model_copy(update={"on": on})
        revision = await self._write(name, put(server_key(name), value.text()))
        self._picture.take(server_key(name), value, revision, 0)
        self._picture.altered()

    async def _write(self, name: str, change: dict[str, Any]) -> int:
        known = self._picture.servers[name]
        outcome = await self._gateway.transact(
            [changed_at(server_key(name), known.changed), absent(claim_key(name))], [change]
        )
        if not outcome.held:
            raise NobodyRunsIt(f"{name!r} was changed or taken this moment; try again.", node=None)
        return outcome.revision

    def _told(self, name: str) -> dict[str, Any]:
        known, holder = self._picture.servers[name], self._holder(name)
        reason = ""
        if not self._fence.open:
            reason = "The fleet's engine does not answer; it waits for it."
        elif holder is not None and holder not in self._picture.nodes:
            reason = f"The node {holder!r} is lost; it waits for it."
        return _shape(name, known, reason)


def _shape(name: str, known: Known, reason: str) -> dict[str, Any]:
    """``reason``: a sentence, empty if a node will take it in a moment.

    Raises:
        ValueError: this node cannot read the server's spec.
    """
    spec, runs = spec_of(name, known.value), known.value.wish == "running"
    now = datetime.now(UTC)
    ended = None
    state = State.STARTING if runs else State.STOPPED
    if reason and runs:
        state = State.BACKOFF
        ended = ExitShape(at=now, reason=ExitReason.UNAVAILABLE, message=reason)
    shape = ServerShape(
        name=name,
        variant=spec.variant,
        host=spec.host,
        port=spec.port,
        state=state,
        desired=known.value.wish,
        since=now,
        runs_on=_RUNS_ON.get(spec.variant, "loop"),
        task=None,
        restarts=0,
        connections=ConnectionCounts(open=0, total=0, waiting=0, peak=0, turned_away=0),
        bytes_in=0,
        bytes_out=0,
        exceptions=0,
        loop_share=None,
        cpu_seconds=None,
        exit=ended,
        spec=spec,
        node=None,
        on=spec.on,
        epoch=None,
    )
    return shape.model_dump(mode="json")
