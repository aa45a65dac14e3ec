"""Who looks at which server: one lens a server while somebody does, whatever the number of those who look.

Ten times a second what was called is taken and given to every viewer. What that costs is measured; above a tenth of a
processor the lens folds more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from app.errors import NotRunning
from app.lens.buffers import MOST_SHOWN, Buffers, buffers
from app.lens.lens import IN_A_BEAT, KEYS, Folding
from app.lens.sight import Sight
from app.lens.told import Told
from app.lens.viewer import Beat, Reason, Viewer
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor

log = logging.getLogger("echodeck.lens")

BEAT = 0.1
MOST_COST, LITTLE_COST = 0.1, 0.03
"""Shares of a processor: from where on more is folded, and below which less is."""


class Look:
    """The lens on one run, and those who look through it."""

    def __init__(self, lenses: Lenses, server: Server, sight: Sight, supervisor: Supervisor) -> None:
        self.server = server
        self.sight = sight
        self.cost = 0.0
        self.viewers: list[Viewer] = []
        self._lenses = lenses
        self._supervisor = supervisor
        self._cost_since = time.monotonic()
        sight.open()
        self.task = asyncio.create_task(self._beat(), name=f"lens: {server.name}")

    @property
    def dropped(self) -> int:
        return self.sight.lens.dropped

    @property
    def folding(self) -> Folding:
        return self.sight.lens.folding

    @property
    def waits(self) -> bool:
        return self.sight.waits

    def encoded(self, told: Told) -> tuple[str, str]:
        return self.sight.encoded(told)

    def let_in(self, told: Told) -> tuple[str, str] | None:
        return self.sight.let_in(told)

    def inside(self) -> list[Told]:
        return self.sight.lens.inside()

    def buffers(self) -> Buffers:
        return buffers(self.sight.run, self._supervisor.roster)

    def connections(self) -> list[tuple[str, Any]]:
        roster = self._supervisor.roster
        return [(roster.id(client.number), client.address) for client in self.sight.run.clients.all()[:MOST_SHOWN]]

    def leave(self, viewer: Viewer) -> None:
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            if not self.viewers:
                self._over()

    def ended(self) -> Reason | None:
        """Why there will be no more calls; None while there may be."""
        if self.sight.lens.failed:
            return "failed"
        if self._supervisor.closing:
            return "app ends"
        if self.server.removed:
            return "removed"
        return "stopped" if self.server.run is not self.sight.run else None

    def _over(self) -> None:
        self.sight.close()
        self.task.cancel()
        self._lenses.forget(self)

    async def _beat(self) -> None:
        try:
            while True:
                await asyncio.sleep(BEAT)
                began = time.thread_time()
                reason = self.ended()
                self.sight.see_new()
                self.tell(all_of_it=reason is not None)
                if reason is not None:
                    break
                self.cost += time.thread_time() - began
                self._weigh()
        except Exception:
            log.exception("the lens on %s has failed; the server goes on unseen", self.server.name)
            reason = "failed"
        for viewer in tuple(self.viewers):
            viewer.finish(reason)
        self.viewers.clear()
        self._over()

    def tell(self, all_of_it: bool = False) -> None:
        """Give every viewer what there is."""
        state = self.buffers()
        beat = self._take(state, all_of_it)
        for viewer in tuple(self.viewers):
            if beat.calls or viewer.held or state != self._latest:
                self._give(viewer, beat)
        self._latest = state

    def settle(self, viewer: Viewer | None = None) -> None:
        """What was called until now is for those who look now: this one gets it at once, the others with their next
        beat, as there are to be ten a second."""
        beat = self._take(self.buffers(), all_of_it=True)
        for one in tuple(self.viewers):
            if one is viewer:
                self._give(one, beat)
            else:
                one.held += beat.calls

    def _take(self, state: Buffers, all_of_it: bool) -> Beat:
        lens = self.sight.lens
        found = lens.take(IN_A_BEAT // max(1, len(self.viewers) // 4), all_of_it)
        return Beat(time.monotonic(), found, state, lens.folding, lens.dropped)

    def _give(self, viewer: Viewer, beat: Beat) -> None:
        viewer.give(beat)
        if viewer.end is not None:
            self.leave(viewer)

    _latest: Buffers | None = None

    def _weigh(self) -> None:
        now = time.monotonic()
        if (passed := now - self._cost_since) >= 1.0:
            share, self.cost, self._cost_since = self.cost / passed, 0.0, now
            lens = self.sight.lens
            lens.hurry = share > (LITTLE_COST if lens.hurry else MOST_COST)
            lens.keys = max(50, KEYS // max(1, len(self.viewers) // 4))


class Lenses:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._looks: dict[Server, Look] = {}

    def look(self, name: str) -> Viewer:
        """Begin to look at a server.

        Raises:
            Unknown: there is none.
            NotRunning: it has no run that could be looked at.
        """
        server = self._supervisor.server(name)
        run = server.run
        if run is None:
            raise NotRunning(
                f"{name!r} is {server.state.value}: there are no calls to see. Start it.", state=server.state.value
            )
        look = self._looks.get(server)
        if look is None or look.sight.run is not run:
            look = self._looks[server] = Look(self, server, Sight(run, self._supervisor.roster), self._supervisor)
        look.settle()  # a new one begins with nothing counted
        viewer = Viewer(look)
        look.viewers.append(viewer)
        return viewer

    def forget(self, look: Look) -> None:
        if self._looks.get(look.server) is look:
            del self._looks[look.server]

    async def close(self) -> None:
        """The app ends: nobody looks any more."""
        for look in tuple(self._looks.values()):
            for viewer in tuple(look.viewers):
                viewer.finish("app ends")
                look.leave(viewer)
            with suppress(asyncio.CancelledError):
                await asyncio.wait({look.task})
