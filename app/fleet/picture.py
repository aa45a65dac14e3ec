"""What the engine's keys say of the fleet, kept up to date by a watch: nodes, servers, and who claims which."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from app.errors import EngineSilent
from app.etcd.gateway import Compacted, Gateway, Record
from app.fleet.keys import CLAIMS, NODES, PREFIX, SERVERS, ClaimValue, NodeValue, ServerValue, parsed

log = logging.getLogger("echodeck.fleet")

KINDS: dict[str, type[Any]] = {NODES: NodeValue, SERVERS: ServerValue, CLAIMS: ClaimValue}


@dataclass(frozen=True)
class Known:
    """One key: its name without the prefix, its value, and the engine's revisions and lease of it."""

    name: str
    value: Any
    created: int
    changed: int
    lease: int


class Picture:
    """``altered`` is called after each change of it, on the loop.

    What this node has written itself is taken in at once (``take``), and not again when the watch tells of it.
    ``version`` grows with each change.
    """

    def __init__(self, gateway: Gateway, altered: Callable[[], object]) -> None:
        self.nodes: dict[str, Known] = {}
        self.servers: dict[str, Known] = {}
        self.claims: dict[str, Known] = {}
        self.revision = 0
        self.version = 0
        self.resumed = 0
        self._gateway = gateway
        self.altered = altered
        self._watching: asyncio.Task[None] | None = None
        self._broken: dict[str, int] = {}
        self._gone: dict[str, int] = {}

    async def read(self) -> None:
        """Begin anew, with what the engine has now.

        Raises:
            EngineSilent: nobody answers.
        """
        records, revision = await self._gateway.read(PREFIX)
        self.revision = revision
        found = {record.key for record in records}
        for folder, known in self._folders():
            for name in [name for name, one in known.items() if folder + name not in found and one.changed <= revision]:
                del known[name]
                self.version += 1
        for record in records:
            self._put(record)
        self.altered()

    async def follow(self) -> None:
        """For ever."""
        try:
            while True:
                self._watching = asyncio.create_task(self._watch(), name="fleet: watch")
                try:
                    await asyncio.wait({self._watching})
                    if not self._watching.cancelled():
                        self._watching.result()
                except Compacted:
                    await self._read_when_it_can_be()
                except EngineSilent:
                    await asyncio.sleep(random.uniform(0.05, 0.3))  # noqa: S311
                except Exception:
                    log.exception("the fleet's keys cannot be followed")
                    await asyncio.sleep(1)
                self.resumed += 1
        finally:
            if self._watching is not None:
                self._watching.cancel()

    def go_on(self) -> None:
        """The watch seems to be cut off: go on where it is, with another member."""
        self._gateway.turn_to_another()
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        async with aclosing(self._gateway.watch(PREFIX, self.revision + 1)) as stream:
            async for changes, following in stream:
                for change in changes:
                    if change.record is not None:
                        self._put(change.record)
                    else:
                        self._drop(change.key, change.revision)
                self.revision = max(self.revision, following - 1)
                if changes:
                    self.altered()

    async def _read_when_it_can_be(self) -> None:
        try:
            await self.read()
        except EngineSilent:
            await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311

    def take(self, key: str, value: Any, revision: int, lease: int, created: int | None = None) -> None:
        """This was written by this node itself, at that revision."""
        _, name, known = self._place(key)
        if known is None:
            return
        earlier = known.get(name)
        if earlier is None or earlier.changed < revision:
            self._gone.pop(key, None)
            first = created if created is not None else earlier.created if earlier else revision
            known[name] = Known(name, value, first, revision, lease)
            self.version += 1

    def forget(self, key: str, revision: int) -> None:
        """This was deleted by this node itself, at that revision."""
        self._drop(key, revision)

    def _folders(self) -> Iterable[tuple[str, dict[str, Known]]]:
        return ((NODES, self.nodes), (SERVERS, self.servers), (CLAIMS, self.claims))

    def _place(self, key: str) -> tuple[str, str, dict[str, Known] | None]:
        for folder, known in self._folders():
            if key.startswith(folder):
                return folder, key.removeprefix(folder), known
        return "", key, None

    def _put(self, record: Record) -> None:
        folder, name, known = self._place(record.key)
        if known is None:
            return
        earlier = known.get(name)
        if (earlier and earlier.changed >= record.changed) or self._gone.get(record.key, 0) >= record.changed:
            return
        value = parsed(KINDS[folder], record.value)
        if value is None:
            if self._broken.get(record.key) != record.changed:
                log.error("%s in the engine is not to be understood; it is left alone", record.key)
            self._broken[record.key] = record.changed
            return
        self._gone.pop(record.key, None)
        known[name] = Known(name, value, record.created, record.changed, record.lease)
        self.version += 1

    def _drop(self, key: str, revision: int) -> None:
        _, name, known = self._place(key)
        if known is None:
            return
        earlier = known.get(name)
        if earlier is None or earlier.changed < revision:
            known.pop(name, None)
            self.version += 1
            self._gone[key] = revision
            while len(self._gone) > 10_000:
                del self._gone[next(iter(self._gone))]
