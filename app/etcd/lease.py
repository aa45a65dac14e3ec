"""A lease of the engine, kept alive: what it holds is gone when this process no longer renews it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.errors import EngineSilent
from app.etcd.fence import Fence, now
from app.etcd.gateway import EngineUnusable, Gateway

log = logging.getLogger("echodeck.etcd")

AGAIN_AFTER = (0.05, 0.15)
"""Seconds between tries while nobody answers: few, as time is short; at random, as all nodes do it at once."""


class LeaseRefused(Exception):
    """A lease could be had, and is of no use to its holder; the message says why."""


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. The engine ends the lease ``ttl`` after it took a renewal; here it counts as over ``fence`` after a
    renewal was sent."""

    ttl: int = 4
    renew: float = 0.5
    fence: float = 3.0


class Lease:
    """``gained`` is called with each new lease before it counts, and may raise LeaseRefused."""

    def __init__(
        self, gateway: Gateway, times: LeaseTimes, fence: Fence, gained: Callable[[int], Awaitable[None]]
    ) -> None:
        self.id: int | None = None
        self.renewals = 0
        self.renewed_at = 0.0
        self._gateway = gateway
        self._times = times
        self._fence = fence
        self._gained = gained
        self._trouble = ""

    @property
    def age(self) -> float:
        """Seconds since the last renewal that was answered had been sent."""
        return now() - self.renewed_at

    async def begin(self) -> None:
        """Raises:
        EngineSilent: nobody answers.
        EngineUnusable: the engine gives leases that are longer than what was asked for.
        LeaseRefused: its holder cannot use it.
        """
        sent = now()
        lease, seconds = await self._gateway.grant(self._times.ttl)
        if seconds != self._times.ttl:
            await self._gateway.revoke(lease)
            raise EngineUnusable(f"the engine's shortest lease is {seconds} s; --lease {self._times.ttl} is too short")
        try:
            await self._gained(lease)
        except BaseException:
            await self._gateway.revoke(lease)
            raise
        self.id = lease
        self._extend(sent)

    async def keep(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(max(0.0, self.renewed_at + self._times.renew - now()))
            try:
                await self._renew()
            except (LeaseRefused, EngineUnusable) as reason:
                self._tell(str(reason), reason)
                await asyncio.sleep(self._times.renew)
            except EngineSilent as reason:
                self._tell("cannot be renewed", reason)
                await asyncio.sleep(random.uniform(*AGAIN_AFTER))  # noqa: S311
            except Exception:
                log.exception("the lease cannot be renewed")
                await asyncio.sleep(self._times.renew)
            else:
                if self._trouble:
                    log.warning("the lease is renewed again")
                self._trouble = ""

    def _tell(self, kind: str, reason: Exception) -> None:
        """Once for each kind of trouble in a row: it is tried again and again."""
        if self._trouble != kind:
            log.warning("the lease cannot be renewed: %s", reason)
        self._trouble = kind

    async def end(self) -> None:
        """Give it back, with all that it holds."""
        lease, self.id = self.id, None
        if lease is not None:
            await self._gateway.revoke(lease)

    async def _renew(self) -> None:
        sent = now()
        if self.id is not None and await self._gateway.renew(self.id):
            self._extend(sent)
            return
        if self.id is not None:
            log.warning("the lease has ended")
            self._fence.close()
        self.id = None
        await self._gateway.check_revision()  # an etcd without the fleet's keys is not to be filled with what is left
        await self.begin()

    def _extend(self, sent: float) -> None:
        self.renewals += 1
        self.renewed_at = sent
        self._fence.extend(sent + self._times.fence)
