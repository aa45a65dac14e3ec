"""Looks at open connections in turns, as there may be very many: those that were used lately often, the others one
after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice

from app.connections.client import Client
from app.connections.roster import Roster

LIVELY = 3.0
"""Seconds for which a connection that was used is thought likely to be used again."""

IN_ONE_GO = 200
"""Connections that are dealt with before the loop is let turn."""


class Turns:
    """``looked`` is called with each connection after it was looked at."""

    def __init__(self, roster: Roster, looked: Callable[[Client], object] = lambda client: None) -> None:
        self._roster = roster
        self._looked = looked
        self._turn: list[Client] = []
        self._turn_began = 0.0
        self._lively: dict[Client, float] = {}

    async def look(self, most: int | None, most_lively: int) -> None:
        """At so many of those whose turn it is, all of them with None, and so many of those that were used lately."""
        if not self._turn or most is None:
            self._roster.looked_at, self._turn_began = self._turn_began, time.monotonic()
            self._turn = self._roster.clients()[::-1]
        most = len(self._turn) if most is None else most
        asked, self._turn = self._turn[-most:][::-1], self._turn[:-most]
        now = time.monotonic()
        for client in list(islice(self._lively, most_lively)):
            used = self._lively.pop(client)
            if used > now - LIVELY and self._roster.holds(client):
                self._lively[client] = used  # to the end: they take turns
                asked.append(client)
        for number, client in enumerate(asked):
            if client.look():
                self._lively[client] = now
            self._looked(client)
            if number % IN_ONE_GO == IN_ONE_GO - 1:
                await asyncio.sleep(0)
