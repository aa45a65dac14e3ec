"""The exceptions of servers: equal ones folded into one record with a count, and a bounded number of records.

Data only; a caller with several threads guards it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

DETAILED = 20
"""The first n equal exceptions are looked at in full; of further ones, one in ``DETAIL_EVERY``."""

DETAIL_EVERY = timedelta(seconds=0.25)


@dataclass(frozen=True, slots=True)
class Details:
    """One occurrence. ``input`` is the last bytes that its connection sent; ``traceback`` as Python prints it."""

    connection: str | None
    peer: str | None
    type: str
    message: str
    traceback: str
    input: bytes | None


NO_DETAILS = Details(None, None, "Exception", "", "", None)


@dataclass(slots=True)
class Caught:
    """Equal exceptions of one run: ``count`` so far, the first and the latest time, and the details of a late one.

    ``serial`` tells servers of one name apart. ``fatal``: the server died of it. ``revision`` grows with each change.
    """

    id: int
    server: str
    serial: int
    variant: str
    first_at: datetime
    at: datetime
    details: Details
    detailed_at: datetime
    fatal: bool = False
    count: int = 1
    revision: int = 0

    def fits(self, server: str | None = None, type: str | None = None, text: str | None = None) -> bool:  # noqa: A002
        """Whether it is of this server and type, and has this text, in whatever case, in what it tells of itself."""
        details = self.details
        if server not in (None, self.server) or type not in (None, details.type):
            return False
        texts = (details.type, details.message, details.peer or "", repr(details.input or b""), self.server)
        return text is None or any(text.lower() in one.lower() for one in texts)


class ExceptionLog:
    """Keeps the latest ``most`` records; ``dropped`` counts those that had to go.

    By name and serial of their server, whatever was dropped: ``counts`` has how many exceptions were raised that nobody
    has cleared, ``raised`` how many there were in this life of the app. ``revision`` is that of the latest change.
    """

    def __init__(self, most: int = 1000, restored: Iterable[Caught] = (), last_id: int = 0) -> None:
        self.revision = 0
        self.dropped = 0
        self.counts: Counter[tuple[str, int]] = Counter()
        self.raised: Counter[tuple[str, int]] = Counter()
        self._most = most
        self._records: OrderedDict[int, Caught] = OrderedDict()
        self._folds: dict[Hashable, Caught] = {}
        self._keys: dict[int, Hashable] = {}
        self._unsaved: dict[int, Caught] = {}
        self.last_id = last_id
        for record in restored:
            self._records[record.id] = record
            self.counts[record.server, record.serial] += record.count

    def wants_details(self, key: Hashable, at: datetime) -> bool:
        """Whether the next one of this key is worth a closer look."""
        record = self._folds.get(key)
        return record is None or record.count < DETAILED or at - record.detailed_at >= DETAIL_EVERY

    def add(
        self, key: Hashable, server: str, serial: int, variant: str, at: datetime, details: Details | None
    ) -> Caught:
        """Count one more; those of equal keys are equal."""
        self.counts[server, serial] += 1
        self.raised[server, serial] += 1
        record = self._folds.get(key)
        if record is None:
            self.last_id += 1
            record = Caught(self.last_id, server, serial, variant, at, at, details or NO_DETAILS, at)
            self._records[record.id] = self._folds[key] = record
            self._keys[record.id] = key
            while len(self._records) > self._most:
                self._forget(next(iter(self._records)))
                self.dropped += 1
        else:
            record.count += 1
            record.at = at
            if details is not None:
                record.details, record.detailed_at = details, at
        self._changed(record)
        return record

    def was_fatal(self, record: Caught) -> None:
        record.fatal = True
        self._changed(record)

    def find(self, id: int) -> Caught | None:
        return self._records.get(id)

    def latest(self, before: int | None = None, server: str | None = None) -> list[Caught]:
        """The newest first; only those with a lower id than ``before``."""
        return [
            record
            for record in reversed(self._records.values())
            if (before is None or record.id < before) and (server is None or record.server == server)
        ]

    def changed_since(self, revision: int) -> list[Caught]:
        return [record for record in self._records.values() if record.revision > revision]

    def ids(self) -> set[int]:
        return set(self._records)

    def clear(self, server: str | None = None) -> None:
        """Forget all, or all of the servers of this name; their counts begin anew."""
        for record in self.latest(server=server):
            self._forget(record.id)
        for name, serial in list(self.counts):
            if server in (None, name):
                del self.counts[name, serial]

    def forget_counts(self, server: str, serial: int) -> None:
        self.counts.pop((server, serial), None)
        self.raised.pop((server, serial), None)

    def expire(self, before: datetime) -> None:
        """Forget what last occurred before that."""
        for record in list(self._records.values()):
            if record.at < before:
                self._forget(record.id)
                self.dropped += 1

    def take_unsaved(self) -> list[Caught]:
        """What changed since this was called last."""
        unsaved, self._unsaved = self._unsaved, {}
        return list(unsaved.values())

    def _changed(self, record: Caught) -> None:
        self.revision += 1
        record.revision = self.revision
        if record.id in self._records:
            self._unsaved[record.id] = record

    def _forget(self, id: int) -> None:
        self.revision += 1
        del self._records[id]
        self._unsaved.pop(id, None)
        if id in self._keys:
            del self._folds[self._keys.pop(id)]
