"""Visitors of the servers that run, so that there is something to see: how many go where, and when.

They ask REST which servers there are, every few seconds again, and are not too many in all, whatever there is. When the
app goes away they wait for it. Times in seconds.
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
"""Visitors at once, in all."""

AT_ONE_SERVER = {"all at once": 5, "one at a time": 4, "one in all": 1}

LOOK_EVERY = 3.0
TELL_EVERY = 15.0
ARRIVING = (0.0, 3.0)
BETWEEN_VISITS = (0.3, 3.0)
BETWEEN_CLOSED_DOORS = (2.0, 5.0)
SECONDS_TO_CONNECT = 5.0
LONGEST_VISIT = 120.0

FIRST_OF_ALL = (3.0, 8.0)
BETWEEN_FIRSTS = (65.0, 110.0)
"""A server that ends after one client is restarted by policy, which is forgiving once a run lasted for a minute
(``app.supervising.lifecycle.Backoff``): earlier visits would make it wait longer and longer, and at last give up."""


class Place(NamedTuple):
    """A server as visitors know it."""

    name: str
    port: int
    clients: str


def crowd(places: Iterable[Place]) -> dict[Place, int]:
    """How many go where: not more than ``MOST`` in all, wherever that leaves nobody."""
    visited = list(places)[:MOST]
    share = MOST // max(1, len(visited))
    return {place: min(share, AT_ONE_SERVER[place.clients]) for place in visited}


@dataclass
class Report:
    """What there was so far."""

    inside: int = 0
    servers: int = 0
    visits: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {"inside": self.inside, "servers": self.servers, "visits": dict(self.visits)}

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.visits.items()))
        return f"{self.inside} visitors at {self.servers} servers; left so far: {kinds or 'nobody'}"


class Visitors:
    """``host`` is where the servers of ``deck`` are; ``tell`` gets a report or a sentence now and then."""

    def __init__(
        self, deck: echodeck.Client, host: str, chance: Random, tell: Callable[[Report | str], None] = lambda _: None
    ) -> None:
        self._deck = deck
        self._host = host
        self._chance = chance
        self._tell = tell
        self._regulars: dict[Place, list[asyncio.Task[None]]] = {}
        self._away = False
        self.report = Report()

    async def run(self) -> None:
        """Visit until cancelled; all visitors have left by then.

        Raises:
            echodeck.Refused: the app does not let them ask: the token is wrong.
        """
        telling = asyncio.create_task(self._keep_telling())
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            telling.cancel()
            self._send_away(list(self._regulars))

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            if not self._away:
                self._tell(self.report)

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
                self._tell("the app is there")
        self._send_away([place for place in self._regulars if place not in places])
        for place, count in places.items():
            if place not in self._regulars:
                self._regulars[place] = [asyncio.create_task(self._regular(place)) for _ in range(count)]
        self.report.servers = len(places)

    def _nowhere(self, reason: str) -> dict[Place, int]:
        if not self._away:
            self._away = True
            self._tell(f"waiting for the app: {reason}")
        return {}

    async def _places(self) -> dict[Place, int]:
        """Where to go, and how many."""
        asking = Worker("visitors' look", lambda: (self._deck.variants(), self._deck.servers()))
        asking.start()
        variants, servers = await asking.ended
        clients = {one.name: one.clients for one in variants}
        return crowd(
            Place(one.name, one.port, clients.get(one.variant, "all at once"))
            for one in servers
            if one.desired == "running" and one.state not in FINAL
        )

    def _send_away(self, places: list[Place]) -> None:
        for place in places:
            for task in self._regulars.pop(place):
                task.cancel()

    async def _regular(self, place: Place) -> None:
        """One after another, for as long as this server is visited."""
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
        """Whether there was a server."""
        try:
            async with asyncio.timeout(SECONDS_TO_CONNECT):
                reader, writer = await asyncio.open_connection(self._host, place.port)
        except OSError:  # TimeoutError is one
            return False
        guest = Guest(reader, writer, self._chance)
        behaviour = pick(place.clients, self._chance)
        self.report.inside += 1
        try:
            async with asyncio.timeout(LONGEST_VISIT):
                await behaviour(guest)
        except OSError:  # hung up on, as by a server that stops
            pass
        finally:
            guest.leave()
            self.report.inside -= 1
            self.report.visits[NAMES[behaviour]] += 1
        return True
