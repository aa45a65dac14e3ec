"""What a feed has sent so far, so that any follower can be sent the rest: the latest state of each thing, by time of
change.

A later change of a thing replaces the earlier one (a compacted log). A follower that knows the number of the latest
change it received gets exactly what changed since; however slow it is, nothing is kept for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class Change(NamedTuple):
    """``data`` is JSON, None for what is gone; ``server`` is the name of the server it is about, if any."""

    number: int
    kind: str
    key: str
    server: str | None
    data: str | None


class View:
    """Of what is gone it remembers the latest ``most_gone``; a follower that is further behind must begin anew."""

    def __init__(self, most_gone: int = 10_000) -> None:
        self.latest = 0
        self._horizon = 0
        self._most_gone = most_gone
        self._changes: OrderedDict[tuple[str, str], Change] = OrderedDict()
        self._gone: OrderedDict[tuple[str, str], None] = OrderedDict()

    def put(self, kind: str, key: str, server: str | None, data: str) -> None:
        """This is how it is now; nothing happens if it was so already."""
        known = self._changes.get((kind, key))
        if known is None or known.data != data:
            self._gone.pop((kind, key), None)
            self._append(kind, key, server, data)

    def drop(self, kind: str, key: str) -> None:
        """It is gone; nothing happens if it was not there."""
        known = self._changes.get((kind, key))
        if known is not None and known.data is not None:
            self._append(kind, key, known.server, None)
            self._gone[kind, key] = None
            if len(self._gone) > self._most_gone:
                forgotten, _ = self._gone.popitem(last=False)
                self._horizon = max(self._horizon, self._changes.pop(forgotten).number)

    def keep(self, kind: str, most: int) -> None:
        """Forget all of this kind but those that changed last, without a change that says that they are gone."""
        known = [change for change in self._changes.values() if change.kind == kind]
        for change in known[: max(0, len(known) - most)]:
            del self._changes[change.kind, change.key]
            self._gone.pop((change.kind, change.key), None)
            self._horizon = max(self._horizon, change.number)

    def all(self) -> list[Change]:
        """Everything that is there, in the order of its latest change."""
        return [change for change in self._changes.values() if change.data is not None]

    def keys(self, kind: str) -> set[str]:
        """Of what is there."""
        return {key for (of, key), change in self._changes.items() if of == kind and change.data is not None}

    def since(self, number: int) -> list[Change] | None:
        """What changed after that change, the earliest first; None if they are no longer kept."""
        if not self._horizon <= number <= self.latest:
            return None
        found = []
        for change in reversed(self._changes.values()):
            if change.number <= number:
                break
            found.append(change)
        return found[::-1]

    def _append(self, kind: str, key: str, server: str | None, data: str | None) -> None:
        self.latest += 1
        self._changes[kind, key] = Change(self.latest, kind, key, server, data)
        self._changes.move_to_end((kind, key))
