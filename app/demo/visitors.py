"""Visitors of the running servers: how many connect to which server, and when.

The list of servers comes from REST, every ``LOOK_EVERY``; the number of visitors is bounded for any number of servers.
When the app has ended they wait until it runs again. Times in seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import echodeck
from app.demo.behaviours import NAMES, Guest, pick
from app.loop.worker import Worker
from app.supervising.lifecycle import FINAL

MOST = 56
"""Visitors at once, at all servers together."""

AT_ONE_SERVER = {"all at once": 5, "one at a time": 4, "one in all": 1}

LOOK_EVERY = 3.0
REPORT_EVERY = 15.0
ARRIVING = (0.0, 3.0)
BETWEEN_VISITS = (0.3, 3.0)
BETWEEN_CLOSED_DOORS = (2.0, 5.0)
SECONDS_TO_CONNECT = 5.0
LONGEST_VISIT = 120.0

FIRST_OF_ALL = (3.0, 8.0)
BETWEEN_FIRSTS = (65.0, 110.0)
"""A server that ends after one client is restarted by policy. The backoff is reset after a run of a minute
(``app.supervising.backoff``): earlier visits would make the pauses longer, until the policy gives up."""


class Place(NamedTuple):
    """A server as visitors know it; without a ``host`` it is where they think that all are."""

    name: str
    port: int
    clients: str
    host: str = ""


def crowd(places: Iterable[Place]) -> dict[Place, int]:
    """Visitors for each server: at most ``MOST`` together, even if some servers get none."""
    visited = list(places)[:MOST]
    share = MOST // max(1, len(visited))
    return {place: min(share, AT_ONE_SERVER[place.clients]) for place in visited}


@dataclass
class Report:
    """The visits until now."""

    inside: int = 0
    servers: int = 0
    visits: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {"inside": self.inside, "servers": self.servers, "visits": dict(self.visits)}

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.visits.items()))
        return f"{self.inside} visitors at {self.servers} servers; left so far: {kinds or 'nobody'}"


class Visitors:
    """``host`` is the address of the servers of ``deck``; ``on_report`` gets a report every ``REPORT_EVERY``, and a
    sentence when the app has ended or is back."""

    def __init__(
        self,
        deck: echodeck.Client,
        host: str,
        chance: Random,
        on_report: Callable[[Report | str], None] = lambda _: None,
    ) -> None:
        self._deck = deck
        self._host = host
        self._chance = chance
        self._on_report = on_report
        self._regulars: dict[Place, list[asyncio.Task[None]]] = {}
        self._away = False
        self.report = Report()

    async def run(self) -> None:
        """Visit until cancelled; then all visitors are cancelled, too.

        Raises:
            echodeck.Refused: the token is wrong.
        """
        reporting = asyncio.create_task(self._keep_reporting())
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            reporting.cancel()
            self._send_away(list(self._regulars))

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            if not self._away:
                self._on_report(self.report)

    async def _look(self) -> None:
        try:
            places = await self._places()
        except echodeck.Unreachable as reason:
            places = self._nowhere(str(reason))
        except echodeck.Refused as reason:
            if reason.status in {401, 403}:
                raise
            places = self._nowhere(reason.detail)
        else:
            if self._away:
                self._away = False
                self._on_report("the app is there")
        self._send_away([place for place in self._regulars if place not in places])
        for place, count in places.items():
            if place not in self._regulars:
                self._regulars[place] = [asyncio.create_task(self._regular(place)) for _ in range(count)]
        self.report.servers = len(places)

    def _nowhere(self, reason: str) -> dict[Place, int]:
        if not self._away:
            self._away = True
            self._on_report(f"waiting for the app: {reason}")
        return {}

    async def _places(self) -> dict[Place, int]:
        """The servers to visit, and the number of visitors for each."""
        worker = Worker("visitors' look", lambda: (self._deck.variants(), self._deck.servers()))
        worker.start()
        variants, servers = await worker.ended
        clients = {one.name: one.clients for one in variants}
        return crowd(
            Place(one.name, one.port, clients.get(one.variant, "all at once"), one.host if one.node else "")
            for one in servers
            if one.desired == "running" and one.state not in FINAL
        )

    def _send_away(self, places: list[Place]) -> None:
        for place in places:
            for task in self._regulars.pop(place):
                task.cancel()

    async def _regular(self, place: Place) -> None:
        """One visit after another, until cancelled."""
        only = place.clients == "one in all"
        await self._pause(FIRST_OF_ALL if only else ARRIVING)
        while True:
            came_in = await self._visit(place)
            if only and came_in:
                await self._pause(BETWEEN_FIRSTS)
            else:
                await self._pause(BETWEEN_VISITS if came_in else BETWEEN_CLOSED_DOORS)

    async def _pause(self, between: tuple[float, float]) -> None:
        await asyncio.sleep(self._chance.uniform(*between))

    async def _visit(self, place: Place) -> bool:
        """Whether the connection was made."""
        try:
            async with asyncio.timeout(SECONDS_TO_CONNECT):
                reader, writer = await asyncio.open_connection(place.host or self._host, place.port)
        except OSError:  # TimeoutError is one
            return False
        guest = Guest(reader, writer, self._chance)
        behaviour = pick(place.clients, self._chance)
        self.report.inside += 1
        try:
            async with asyncio.timeout(LONGEST_VISIT):
                await behaviour(guest)
        except OSError:  # the server hung up, for example because it stops
            pass
        finally:
            guest.abort()
            self.report.inside -= 1
            self.report.visits[NAMES[behaviour]] += 1
        return True
