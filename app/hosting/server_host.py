"""What a server host does, and the one that is this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from app.supervising.spec import ServerSpec
from app.supervising.supervisor import Supervisor


class HostFailed(Exception):
    """A server host did not do what was requested; the message says why."""


class HostedServer(NamedTuple):
    name: str
    host: str
    port: int


class ServerHost(Protocol):
    """``pid`` is the process in which its servers run."""

    @property
    def pid(self) -> int: ...

    async def start(self, spec: Mapping[str, Any]) -> HostedServer:
        """Return when the new server listens.

        Raises:
            HostFailed, Refusal: it cannot.
        """

    async def stop(self, name: str) -> None:
        """Stop and remove a server.

        Raises:
            HostFailed: the host is gone, and its servers with it.
        """

    async def lag(self) -> float | None:
        """How late the loop came, in ms at p99, of the last seconds."""


class InProcessHost:
    """This process's own supervisor: what neighbours on one loop do to each other."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.pid = os.getpid()
        self._supervisor = supervisor

    async def start(self, spec: Mapping[str, Any]) -> HostedServer:
        name = f"lab-{os.urandom(3).hex()}"
        server = await self._supervisor.create(
            ServerSpec(**{"name": name, **spec, "on": self._supervisor.node or None})
        )
        return HostedServer(server.name, server.host, server.spec.port)

    async def stop(self, name: str) -> None:
        """It goes on where whoever waits for it is cancelled."""
        await asyncio.shield(self._remove(name))

    async def lag(self) -> float | None:
        return self._supervisor.sampler.lag().p99

    async def _remove(self, name: str) -> None:
        with suppress(Exception):  # somebody may have removed it
            await self._supervisor.remove(name)
