"""What happened, remembered: the journal and the exceptions, in memory to be read, in the store for the next life.

``note`` and ``caught`` are called on whatever thread something happened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import Any, NamedTuple

from app.clock import Clock
from app.errors import Unknown
from app.history import blame, schema
from app.history.exceptions import Caught, ExceptionLog
from app.history.journal import Entry, Journal
from app.history.schema import Kept, Statement
from app.history.store import Store
from servers import Variant

SHOWN_AGAIN = frozenset(10**power for power in range(1, 10))
"""Of equal exceptions, the app's log shows the first, the tenth, the hundredth, and so on."""

EXPIRE_SECONDS = 60.0

_MARK = "_echodeck"


class _Mark(NamedTuple):
    """Left on an exception that was caught: in which net of which run."""

    run: Hashable
    net: str
    record: Caught


def _marks(error: BaseException) -> dict[str, Any]:
    """An exception's own attributes, whatever its class does when they are set or read."""
    found: dict[str, Any] = object.__getattribute__(error, "__dict__")
    return found


class Chronicle:
    """``connection_id`` makes a connection's id of its number."""

    def __init__(self, store: Store, clock: Clock, connection_id: Callable[[int], str]) -> None:
        self._store = store
        self._clock = clock
        self._connection_id = connection_id
        self._lock = threading.RLock()  # the garbage collector may come while it is held, and bring a task's exception
        self._looking = threading.local()
        self._unsaved = False
        self._expire_due = 0.0
        self._days = timedelta(days=store.bounds.days)
        self.remember(Kept())

    def remember(self, kept: Kept) -> None:
        """Begin with what was kept of earlier lives."""
        bounds = self._store.bounds
        self.journal = Journal(bounds.entries, kept.journal, kept.last_entry)
        self._exceptions = ExceptionLog(bounds.exceptions, kept.exceptions, kept.last_exception)

    # Writing

    def note(self, server: str, what: str) -> None:
        self._expire()
        with self._lock:
            entry = self.journal.note(self._clock.wall(), server, blame.bounded(what, blame.MOST_MESSAGE))
            self._store.put(schema.put_entry(entry))

    def caught(self, error: BaseException, net: str, run: Hashable, server: str, serial: int, variant: Variant) -> bool:
        """Count an exception of a run, and keep it if it is new; returns whether it is worth a line in the log.

        ``net`` says where it was caught. One that was in another net of the same run before is the same one on its
        way, and is not counted again; in the net ``serve`` it turns out to be fatal.
        """
        before = _marks(error).get(_MARK)
        if before is not None and before.run is run and before.net != net:
            record, news = before.record, False
        else:
            record, news = self._count(error, run, server, serial, variant), True
        _marks(error)[_MARK] = _Mark(run, net, record)
        if net == "serve":
            with self._lock:
                self._exceptions.was_fatal(record)
                self._have_saved()
        return news and (record.count == 1 or record.count in SHOWN_AGAIN)

    def _count(self, error: BaseException, run: Hashable, server: str, serial: int, variant: Variant) -> Caught:
        key, at = (run, blame.trail(error)), self._clock.wall()
        with self._lock:
            wanted = self._exceptions.wants_details(key, at)
        details = None
        # Not under the lock: this runs code of the exception's author, which may fail and be caught in its turn.
        if wanted and not getattr(self._looking, "closely", False):
            self._looking.closely = True
            try:
                details = blame.details(error, variant, self._connection_id)
            finally:
                self._looking.closely = False
        with self._lock:
            record = self._exceptions.add(key, server, serial, variant.name, at, details)
            self._have_saved()  # before the lock is released, and the record is shown
            return record

    def _have_saved(self) -> None:
        if not self._unsaved:
            self._unsaved = True
            self._store.put(self._save_exceptions)

    def clear_exceptions(self, server: str | None = None) -> None:
        with self._lock:
            self._exceptions.clear(server)
            # Up to the last one: what comes next may be written together with this, and before it.
            self._store.put(schema.drop_exceptions(self._exceptions.last_id, server))

    def forget(self, server: str, serial: int) -> None:
        """Of a server that is removed, the records stay; nobody asks for its counts any more."""
        with self._lock:
            self._exceptions.forget_counts(server, serial)

    # Reading

    async def flushed(self) -> None:
        """Return when what is to be shown now would survive the end of the process, if it can be written at all."""
        if self._store.failure is None:
            await self._store.flush()

    @property
    def revision(self) -> int:
        """Of the exceptions; it grows with each change."""
        return self._exceptions.revision

    @property
    def dropped(self) -> int:
        """How many entries and exceptions had to go so that the rest has room."""
        return self.journal.dropped + self._exceptions.dropped

    def entries(self, before: int | None = None, server: str | None = None) -> list[Entry]:
        self._expire()
        with self._lock:
            return self.journal.latest(before, server)

    def exceptions(self, before: int | None = None, server: str | None = None) -> list[Caught]:
        """The newest first; only those with a lower id than ``before``."""
        self._expire()
        with self._lock:
            return self._exceptions.latest(before, server)

    def entries_since(self, id: int) -> list[Entry]:
        """The oldest first."""
        with self._lock:
            return self.journal.since(id)

    def exceptions_since(self, revision: int) -> tuple[list[Caught], set[int]]:
        """Those that changed after that revision, and the ids of all there are."""
        with self._lock:
            return self._exceptions.changed_since(revision), self._exceptions.ids()

    def exception(self, id: str) -> Caught:
        """Raises:
        Unknown: there is none with this id.
        """
        with self._lock:
            found = self._exceptions.find(int(id)) if id.isascii() and id.isdecimal() and len(id) < 19 else None
        if found is None or str(found.id) != id:
            raise Unknown(f"There is no exception {id!r}; it may have been cleared.", what="exception")
        return found

    def exception_count(self, server: str, serial: int) -> int:
        """How many a server raised since they were cleared."""
        return self._exceptions.counts[server, serial]

    def exceptions_raised(self, server: str, serial: int) -> int:
        """How many a server raised since the app started."""
        return self._exceptions.raised[server, serial]

    def _save_exceptions(self) -> list[Statement]:
        with self._lock:
            self._unsaved = False
            return [schema.put_exception(record) for record in self._exceptions.take_unsaved()]

    def _expire(self) -> None:
        if self._clock.now() < self._expire_due:
            return
        self._expire_due = self._clock.now() + EXPIRE_SECONDS
        oldest = self._clock.wall() - self._days
        with self._lock:
            self.journal.expire(oldest)
            self._exceptions.expire(oldest)
