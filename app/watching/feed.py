"""What changes, as events for every follower: one ``view`` of everything, kept up to date by one ``watch``.

Nothing is queued for a follower: it takes from the view what changed since it last took something, so that a slow
follower gets fewer and later states, and costs no more than a fast one. Without followers nothing is done at all; the
view stays for a while, so that a follower that comes back can go on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol

from app.supervising.supervisor import Supervisor
from app.watching.event import Event
from app.watching.view import Change, View

log = logging.getLogger("echodeck.feed")

TICK = 0.1
"""Seconds between two looks; the changes within them are sent together."""

REMEMBERED = 60.0
"""Seconds for which a view without followers is kept."""

TOPICS = {
    "servers": "server",
    "connections": "connection",
    "exceptions": "exception",
    "journal": "journal",
    "loop": "loop",
    "nodes": "node",
    "lab": "experiment",
}
"""What can be followed: the names in a snapshot, and the kinds of changes."""

KEYS = {"server": "name", "node": "name", "connection": "id", "exception": "id", "journal": "id", "experiment": "id"}
"""By kind, the field by which one is known; there is one loop only. The page's scripts have both from here."""


@dataclass(frozen=True)
class Wanted:
    """What a follower is sent. ``server`` narrows what belongs to a server down to one, except for the kinds in
    ``everywhere``. ``together``: all that changed meanwhile in one event, as a browser has more work with an event than
    with what is in it."""

    kinds: frozenset[str] = frozenset(TOPICS.values())
    server: str | None = None
    everywhere: frozenset[str] = frozenset()
    together: bool = False

    def takes(self, change: Change) -> bool:
        if change.kind not in self.kinds:
            return False
        return self.server is None or change.server in (None, self.server) or change.kind in self.everywhere


class Looks(Protocol):
    """What keeps the view up to date."""

    def begin(self) -> None:
        """Somebody follows."""

    def end(self) -> None:
        """Nobody follows any more."""

    async def look(self) -> None:
        """Bring the view up to date."""


class Feed:
    """``watch`` makes what looks, when the first follower comes."""

    def __init__(self, supervisor: Supervisor, watch: Callable[[View], Looks]) -> None:
        self.followers = 0
        self._supervisor = supervisor
        self._make_watch = watch
        self._keeping: asyncio.Task[None] | None = None
        self._forgetting: asyncio.TimerHandle | None = None
        self._watch: Looks | None = None
        self._begin_anew()

    async def follow(
        self, last_event_id: str | None = None, wanted: Wanted | None = None
    ) -> AsyncGenerator[list[Event], None]:
        """First a snapshot, or what changed since that event if that is known; then what changes, as it does.

        Ends when the app does.
        """
        wanted = wanted or Wanted()
        self._enter()
        try:
            await self._first_look.wait()
            last = self._number(last_event_id)
            while True:
                turned, ended = self._turned, self._ended
                events, last = self._since(last, wanted), self._view.latest
                if events:
                    yield events
                if ended:
                    yield [Event("end", '{"reason":"the app is shutting down"}')]
                    return
                if last == self._view.latest:
                    await turned.wait()
        finally:
            self._leave()

    # Followers

    def _enter(self) -> None:
        self.followers += 1
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        if self._keeping is None:
            self._first_look = asyncio.Event()
            self._watch = watch = self._watch or self._make_watch(self._view)
            watch.begin()
            self._keeping = asyncio.create_task(self._keep(watch), name="feed")

    def _leave(self) -> None:
        self.followers -= 1
        if self.followers == 0 and self._keeping is not None and self._watch is not None:
            self._keeping.cancel()
            self._keeping = None
            self._watch.end()
            self._forgetting = asyncio.get_running_loop().call_later(REMEMBERED, self._begin_anew)

    def _begin_anew(self) -> None:
        self._life = secrets.token_hex(4)
        self._view = View()
        self._built: dict[tuple[int | None, Wanted], list[Event]] = {}
        self._built_at = -1
        self._watch = None
        self._turned = asyncio.Event()
        self._first_look = asyncio.Event()
        self._ended = False

    async def _keep(self, watch: Looks) -> None:
        told = self._view.latest
        while not self._ended:
            stopped = self._supervisor.stopped
            try:
                await watch.look()
            except Exception:  # the next look may do better
                log.exception("the feed could not look at everything")
            self._ended = stopped
            self._first_look.set()
            if self._view.latest != told or stopped:
                told = self._view.latest
                self._turned.set()
                self._turned = asyncio.Event()
            await asyncio.sleep(TICK)

    # What they are sent

    def _number(self, event_id: str | None) -> int | None:
        parts = re.fullmatch(r"([0-9a-f]{8})-([0-9]{1,18})", event_id or "")
        return int(parts[2]) if parts and parts[1] == self._life else None

    def _since(self, last: int | None, wanted: Wanted) -> list[Event]:
        """The same list for all followers that have received and want the same."""
        if self._built_at != self._view.latest:
            self._built, self._built_at = {}, self._view.latest
        if (last, wanted) not in self._built:
            changes = None if last is None else self._view.since(last)
            self._built[last, wanted] = [self._snapshot(wanted)] if changes is None else self._events(changes, wanted)
        return self._built[last, wanted]

    def _events(self, changes: list[Change], wanted: Wanted) -> list[Event]:
        events = [self._event(change) for change in changes if wanted.takes(change)]
        if wanted.together and events:
            pairs = ",".join(f'["{event.name}",{event.data}]' for event in events)
            return [Event("changes", f"[{pairs}]", events[-1].id)]
        return events

    def _event(self, change: Change) -> Event:
        id = f"{self._life}-{change.number}"
        if change.data is not None:
            return Event(change.kind, change.data, id)
        return Event(f"{change.kind}-removed", f'{{"{KEYS[change.kind]}":"{change.key}"}}', id)

    def _snapshot(self, wanted: Wanted) -> Event:
        found: dict[str, list[str]] = {kind: [] for kind in wanted.kinds}
        for change in self._view.all():
            if wanted.takes(change) and change.data is not None:
                found[change.kind].append(change.data)
        fields = [
            f'"{topic}":{found[kind][0] if kind == "loop" and found[kind] else "[" + ",".join(found[kind]) + "]"}'
            for topic, kind in TOPICS.items()
            if kind in wanted.kinds
        ]
        return Event("snapshot", f"{{{','.join(fields)}}}", f"{self._life}-{self._view.latest}")
