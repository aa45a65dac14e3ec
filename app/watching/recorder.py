"""Looks once a second at every server and at the loop, and writes what it sees into their series.

Where there is no server, and nobody follows the feed, it looks once a minute: the seconds between are said to be as the
last one, when somebody asks for them or at the next look.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from contextlib import suppress
from math import nan

from app.connections.turns import Turns
from app.history.series import LOOP, SAVE_EVERY, SeriesBook
from app.kernel.traffic import NO_TRAFFIC
from app.loop.shares import APP, IDLE
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor

log = logging.getLogger("echodeck.recorder")

MOST_ASKED = 300
"""Connections whose traffic is asked for in a second, in turns."""

MOST_LIVELY = 200
"""The same of those that were found to be used lately."""

IN_ONE_GO = 100
"""Servers that are dealt with before the loop is let turn."""


QUIET = 0.9
"""The loop is idle for so much of its time, at least, while the recorder rests."""

LOOKS_AT_QUEUES_EVERY = 4
"""Seconds between two looks at the accept queue of a server that nobody is inside of and nothing happens to."""


class _Seen:
    """What the latest look at a server showed. ``steady``: nobody was there and nothing happened; ``rests``: and it
    does not run."""

    __slots__ = ("ended", "key", "raised", "rests", "ring", "seen", "state", "steady", "tally")

    def __init__(self, server: Server, book: SeriesBook) -> None:
        self.key = (server.name, server.serial)
        self.ring = book.of(*self.key).seconds
        self.tally = server.tally
        self.state = server.state
        self.ended = self.seen = NO_TRAFFIC
        self.raised = 0
        self.steady = self.rests = False


class Recorder:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._book: SeriesBook = supervisor.series
        self._servers: list[Server] = []
        self._seen: list[tuple[Server, _Seen]] = []
        self._revision = -1
        self._stalled = 0
        self._turns = Turns(supervisor.roster)
        self._minute = self._book.second // 60
        self._task: asyncio.Task[None] | None = None
        self._quiet = False
        self._disturbed = asyncio.Event()
        self._disturbed.set()

    def start(self) -> None:
        self._book.catch_up = self._catch_up
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="series")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._book.save(self._minute)

    async def _keep(self) -> None:
        """For ever."""
        second = 0
        while True:
            second = max(self._book.second, second)
            if self._quiet and not self._supervisor.servers() and self._supervisor.roster.news is None:
                self._disturbed.clear()
                end_of_minute = second + 59 - second % 60
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._disturbed.wait(), self._book.left_of(end_of_minute))
                    continue
                self._disturbed.set()
                second = end_of_minute
                self._same_until(second - 1)
            else:
                await asyncio.sleep(self._book.left_of(second))
            try:
                await self.look(second)
            except Exception:
                log.exception("a second is missing in the series")
            second += 1

    def _same_until(self, second: int) -> None:
        self._book.of(*LOOP).seconds.same_until = second

    def _catch_up(self) -> None:
        if not self._disturbed.is_set():
            self._same_until(self._book.second - 1)
            self._disturbed.set()

    async def look(self, second: int) -> None:
        """Of this second, which has just ended."""
        await self._traffic()
        sampler = self._supervisor.sampler
        sampler.settle()
        shares, threads, lag = sampler.shares(), sampler.thread_shares(), sampler.lag()
        unnamed = 0.0 if shares else nan  # not measured
        sums = [0.0] * 5
        chronicle = self._supervisor.chronicle
        news, self._revision = chronicle.revision != self._revision, chronicle.revision
        for number, (server, one) in enumerate(self._now_and_seen()):
            tally = one.tally
            if (
                one.steady
                and not tally.open
                and tally.seen is one.seen
                and tally.ended is one.ended
                and server.state is one.state
                and one.key[0] not in shares
                and not (news and chronicle.raised.get(one.key, 0) != one.raised)
                and ((number + second) % LOOKS_AT_QUEUES_EVERY or not server.waiting)
            ):
                if not one.rests:
                    one.ring.same_until = second
            else:
                on_loop = server.variant.runs_on == "loop"
                share = shares.get(server.name, unnamed) if on_loop else threads.get(server.name, 0.0)
                for place, figure in enumerate(self._look_at(server, one, second, share)):
                    sums[place] += figure
            if number % IN_ONE_GO == IN_ONE_GO - 1:
                await asyncio.sleep(0)
        stalls = sampler.stalled - self._stalled
        self._stalled = sampler.stalled
        self._quiet = not stalls and shares.get(IDLE, 0.0) > QUIET
        row = array("f", [*sums, lag.p50, lag.p99, lag.max, shares.get(APP, nan), shares.get(IDLE, nan), stalls])
        self._book.of(*LOOP).seconds.put(second, row)
        if (second + 1) // 60 > self._minute:
            await self._fold((second + 1) // 60)

    def _now_and_seen(self) -> list[tuple[Server, _Seen]]:
        servers = self._supervisor.servers()
        if servers != self._servers:
            before = dict(self._seen)
            self._servers = servers
            self._seen = [(server, before.get(server) or _Seen(server, self._book)) for server in servers]
        return self._seen

    def _look_at(self, server: Server, one: _Seen, second: int, share: float) -> tuple[int, int, int, int, int]:
        """Nothing is written of a server that rests, but for what it did in the second in which it ended."""
        tally = one.tally
        ended, seen, raised = tally.ended, tally.seen, self._supervisor.chronicle.raised.get(one.key, 0)
        went_in = ended.bytes_in + seen.bytes_in - one.ended.bytes_in - one.seen.bytes_in
        went_out = ended.bytes_out + seen.bytes_out - one.ended.bytes_out - one.seen.bytes_out
        found = went_in, went_out, tally.open, server.waiting, raised - one.raised
        one.ended, one.seen, one.raised, one.state = ended, seen, raised, server.state
        one.steady = not (any(found) or share)
        one.rests = server.task is None and one.steady
        if one.rests:
            return found
        one.ring = self._book.of(*one.key).seconds  # which the book lets go of when its server rests for a day
        one.ring.put(second, array("f", [*found[:4], share, found[4]]))
        return found

    async def _traffic(self) -> None:
        """Have the tallies know what went over the open connections, unless somebody else sees to that now."""
        if self._supervisor.roster.news is None:
            await self._turns.look(MOST_ASKED, MOST_LIVELY)

    async def _fold(self, minute: int) -> None:
        """The minutes that ended before this one."""
        ended, self._minute = self._minute, minute
        for number, server in enumerate(self._supervisor.servers()):
            self._book.of(server.name, server.serial).fold(ended)
            if number % IN_ONE_GO == IN_ONE_GO - 1:
                await asyncio.sleep(0)
        self._book.of(*LOOP).fold(ended)
        if minute % SAVE_EVERY == 0:
            self._book.save(ended)
