"""Keeps a view of the whole app up to date, by looking: often at what is announced, less often at what must be asked.

What is announced costs next to nothing while nothing happens. The rest is bounded by design: the kernel is asked about
n connections at a time, its tables are read so seldom that reading them takes a small share of the time, and the
loop turns in between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from app.connections.client import Client, Waiter
from app.connections.turns import IN_ONE_GO, Turns
from app.kernel.tcp_info import Figures
from app.shapes.connections import ConnectionShape
from app.shapes.happenings import EntryShape, ExceptionShape
from app.shapes.loop import LoopNow
from app.shapes.servers import ServerShape
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor
from app.watching.view import View

if TYPE_CHECKING:
    from app.experiments.run import Run

POLL = 0.3
"""Seconds between two looks at what must be asked for: queues, traffic, shares of the loop."""

LOOP_EVERY = 1.0

MOST_ASKED = 1500
"""Connections whose traffic is asked for in one poll; where there are more, they take turns."""

MOST_LIVELY = 200
"""The same of those that were found to be used lately."""

QUEUES_TAKE = 0.03
"""The most of the time that is spent on reading the kernel's tables."""

QUEUES_LATE = 1.5
"""Seconds that may pass between two looks at the queues all the same."""

MOST_EXCEPTIONS = 100
MOST_ENTRIES = 100

_Put = Callable[[], None]


class Watch:
    """``of_node`` says how this node is, if the app is one of a fleet; ``lab`` has the experiments."""

    def __init__(
        self,
        supervisor: Supervisor,
        view: View,
        of_node: Callable[[], str] | None = None,
        lab: Callable[[], Iterable[Run]] = tuple,
    ) -> None:
        self._lab = lab
        self._runs: dict[str, int] = {}
        self._of_node = of_node
        self._supervisor = supervisor
        self._roster = supervisor.roster
        self._view = view
        self._pulses: dict[str, object] = {}
        self._versions: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._all_known = False
        self._exceptions_at = -1
        self._entries_at: int | None = None
        self._turns = Turns(self._roster, self._show_news)
        self._poll_due = self._queues_due = self._loop_due = 0.0

    def begin(self) -> None:
        """Have comings and goings announced from now on."""
        self._roster.news = deque()
        self._all_known = False
        self._supervisor.series.catch_up()

    def end(self) -> None:
        self._roster.news = None

    async def look(self) -> None:
        """Bring the view up to date. What happened is in the state file before it is in the view."""
        now = time.monotonic()
        anew = not self._all_known
        polls = now >= self._poll_due or anew
        chronicle = self._supervisor.chronicle
        position = chronicle.revision, chronicle.journal.last_id
        happened = position != (self._exceptions_at, self._entries_at)
        puts = self._happenings() if happened else []
        if polls or happened:
            puts += self._servers()
        if happened:
            await chronicle.flushed()
        for put in puts:
            put()
        await self._arrivals()
        if polls:
            self._experiments()
            self._poll_due = now + POLL
            await self._turns.look(None if anew else MOST_ASKED, MOST_LIVELY)
            await self._queues(now)
        if now >= self._loop_due:
            self._loop_due = now + LOOP_EVERY
            self._view.put("loop", "loop", None, LoopNow.of(self._supervisor.sampler).model_dump_json())
            if self._of_node is not None:
                self._view.put("node", self._supervisor.node, None, self._of_node())

    # What happened

    def _happenings(self) -> list[_Put]:
        chronicle, view = self._supervisor.chronicle, self._view
        revision, last = chronicle.revision, chronicle.journal.last_id
        changed, ids = chronicle.exceptions_since(self._exceptions_at)
        if self._entries_at is None:  # nobody knows anything yet: the latest will do
            changed, entries = changed[-MOST_EXCEPTIONS:], chronicle.entries()[:MOST_ENTRIES][::-1]
        else:
            entries = chronicle.entries_since(self._entries_at)
        puts: list[_Put] = []
        for record in changed:
            data = ExceptionShape.of(record, chronicle).model_dump_json()
            puts.append(partial(view.put, "exception", chronicle.id(record.id), record.server, data))
        puts += [partial(view.drop, "exception", key) for key in view.keys("exception") - set(map(chronicle.id, ids))]
        for entry in entries:
            data = EntryShape.of(entry, chronicle).model_dump_json()
            puts.append(partial(view.put, "journal", chronicle.id(entry.id), entry.server, data))
        puts += [partial(view.keep, "exception", MOST_EXCEPTIONS), partial(view.keep, "journal", MOST_ENTRIES)]
        puts.append(partial(self._have_reached, revision, last))
        return puts

    def _have_reached(self, revision: int, last: int) -> None:
        self._exceptions_at, self._entries_at = revision, last

    # The servers

    def _servers(self) -> list[_Put]:
        puts: list[_Put] = []
        names = set()
        for server in self._supervisor.servers():
            names.add(server.name)
            pulse = _pulse(server)
            if self._pulses.get(server.name) != pulse:
                data = ServerShape.row(server, server.tally.ended + server.tally.seen)
                puts.append(partial(self._put_server, server.name, pulse, data))
        puts += [partial(self._drop_server, name) for name in self._pulses.keys() - names]
        return puts

    def _put_server(self, name: str, pulse: object, data: str) -> None:
        self._pulses[name] = pulse
        self._view.put("server", name, name, data)

    def _drop_server(self, name: str) -> None:
        del self._pulses[name]
        self._view.drop("server", name)

    def _experiments(self) -> None:
        runs = {run.id: run for run in self._lab()}
        for id, run in runs.items():
            if self._runs.get(id) != run.version:
                self._runs[id] = run.version
                from app.experiments.run import ExperimentShape  # whoever made the run has imported it

                self._view.put("experiment", id, None, ExperimentShape.of(run).model_dump_json())
        for id in self._runs.keys() - runs.keys():
            del self._runs[id]
            self._view.drop("experiment", id)

    # The connections

    async def _arrivals(self) -> None:
        if not self._all_known:
            self._all_known = True
            here = {client.number for client in self._roster.clients()}
            for number in self._versions.keys() - here:
                self._drop(number)
        news = self._roster.news
        for dealt_with in range(len(news or ())):
            if not news:  # nobody follows any more
                return
            entered, client = news.popleft()
            if entered:
                client.look()
                self._show(client)
            else:
                self._drop(client.number)
            if dealt_with % IN_ONE_GO == IN_ONE_GO - 1:
                await asyncio.sleep(0)

    def _show_news(self, client: Client) -> None:
        if self._versions.get(client.number) != client.version:
            self._show(client)

    async def _queues(self, now: float) -> None:
        if now < self._queues_due and self._supervisor.connections.anybody_waits:
            return
        began = time.monotonic()
        waiters = await self._supervisor.connections.waiting()
        if waiters:
            self._queues_due = now + min((time.monotonic() - began) / QUEUES_TAKE, QUEUES_LATE)
        for waiter in waiters:
            if self._waiting.get(waiter.number) != waiter.unread:
                self._waiting[waiter.number] = waiter.unread
                self._put(waiter)
        for number in self._waiting.keys() - {waiter.number for waiter in waiters}:
            del self._waiting[number]
            if number not in self._versions:
                self._drop(number)

    def _show(self, client: Client) -> None:
        if self._roster.holds(client):
            self._waiting.pop(client.number, None)
            if self._put(client, client.latest):
                self._versions[client.number] = client.version

    def _put(self, one: Client | Waiter, now: Figures | None = None) -> bool:
        row = ConnectionShape.row(one, self._roster, now)
        if row is not None:
            self._view.put("connection", self._roster.id(one.number), one.server, row)
        return row is not None

    def _drop(self, number: int) -> None:
        self._versions.pop(number, None)
        self._view.drop("connection", self._roster.id(number))


def _pulse(server: Server) -> object:
    """Differs when something about a server has changed that is worth telling."""
    tally, share, cpu = server.tally, server.loop_share, server.cpu_seconds
    return (
        server.serial,
        server.state,
        server.since,
        server.desired,
        server.restarts,
        server.spec,
        server.epoch,
        server.exceptions,
        server.waiting,
        tally.total,
        tally.open,
        tally.turned_away,
        tally.ended,
        tally.seen,
        share and round(share * 20),  # the loop's own line has it in full
        cpu and round(cpu, 2),
    )
