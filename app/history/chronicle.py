"""What happened, remembered: the journal and the exceptions, in memory to be read, in the store for the next life.

``note`` and ``caught`` are called on whatever thread something happened.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from app.clock import Clock
from app.errors import NotKept, Unknown
from app.history import blame, schema
from app.history.exceptions import Caught, ExceptionLog
from app.history.journal import Entry, Journal
from app.history.known_time import KnownTime
from app.history.schema import Kept, Statement
from app.history.store import Store
from servers import Variant

log = logging.getLogger("echodeck.chronicle")

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
    """``connection_id`` makes a connection's id of its number; ``node`` is the name of this app in a fleet."""

    def __init__(self, store: Store, clock: Clock, connection_id: Callable[[int], str], node: str = "") -> None:
        self.node = node
        self._store = store
        self._clock = clock
        self._connection_id = connection_id
        self._lock = threading.RLock()  # the garbage collector may come while it is held, and bring a task's exception
        self._looking = threading.local()
        self._unsaved = False
        self._days = timedelta(days=store.bounds.days)
        self.remember(Kept())

    def remember(self, kept: Kept) -> None:
        """Begin with what was kept of earlier lives."""
        bounds = self._store.bounds
        self.journal = Journal(bounds.entries, kept.journal, kept.last_entry)
        self._exceptions = ExceptionLog(bounds.exceptions, kept.exceptions, kept.last_exception)
        known_time = kept.known_time
        if known_time is None:
            known_time = (kept.journal[-1].at if kept.journal else self._clock.wall()).timestamp()
        self._known_time = KnownTime(known_time, self._clock.now())
        self._expire_due = 0.0

    # Writing

    def note(self, server: str, what: str) -> None:
        try:
            self._expire()
            with self._lock:
                entry = self.journal.note(self._clock.wall(), server, blame.bounded(what, blame.MOST_MESSAGE))
                self._store.put(schema.put_entry(entry))
        except Exception:  # what happens is more important than its note
            contextvars.Context().run(log.exception, "an event of %s could not be noted", server)

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
            with suppress(NotKept):
                await self._store.flush()

    def statements(self) -> list[Statement]:
        """Those that write down all of it."""
        with self._lock:
            return [
                *(schema.put_entry(entry) for entry in self.journal.since(0)),
                *(schema.put_exception(record) for record in self._exceptions.latest()),
                *schema.put_last_ids(self.journal.last_id, self._exceptions.last_id),
            ]

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

    def id(self, number: int | str) -> str:
        """By which an exception or an entry is known, in the whole fleet."""
        return f"{self.node}.{number}" if self.node else str(number)

    def exception(self, id: str) -> Caught:
        """Raises:
        Unknown: there is none with this id.
        """
        with self._lock:
            number = id.removeprefix(self.id(""))
            whole = number.isascii() and number.isdecimal() and len(number) < 19
            found = self._exceptions.find(int(number)) if whole else None
        if found is None or self.id(found.id) != id:
            raise Unknown(f"There is no exception {id!r}; it may have been cleared.", what="exception")
        return found

    def exception_count(self, server: str, serial: int) -> int:
        """How many a server raised since they were cleared."""
        return self._exceptions.counts[server, serial]

    @property
    def raised(self) -> Mapping[tuple[str, int], int]:
        """How many exceptions servers raised since the app started, by name and serial; none where there is no key."""
        return self._exceptions.raised

    def _save_exceptions(self) -> list[Statement]:
        with self._lock:
            self._unsaved = False
            return [schema.put_exception(record) for record in self._exceptions.take_unsaved()]

    def _expire(self) -> None:
        if self._clock.now() < self._expire_due:
            return
        self._expire_due = self._clock.now() + EXPIRE_SECONDS
        with self._lock:
            known_time = self._known_time.look(self._clock.wall().timestamp(), self._clock.now())
            oldest = datetime.fromtimestamp(known_time, UTC) - self._days
            self.journal.expire(oldest)
            self._exceptions.expire(oldest)
        for statement in schema.trim(self._store.bounds, oldest, known_time):
            self._store.put(statement)
