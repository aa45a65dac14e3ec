"""What should run and what happened, in one SQLite file: it is there again after the app ends, however it ends.

One writer thread, which commits whatever has come together since its last commit (WAL, sqlite.org/wal.html): what was
flushed survives a kill -9 of the app, and no disk is waited for on the loop.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from app.history.schema import BOOT, VERSION, Bounds, Kept, Statement, is_history, migrate, read, replaces, trim
from app.loop.worker import Worker

log = logging.getLogger("echodeck.store")

_APPLICATION_ID = 0x6563_686F  # "echo", in the file's header: whose database it is
_FOR_NOW = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOMEM,
}
"""Errors that say nothing against the file itself."""

_OF_ITS_OWN = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    ValueError,
    TypeError,
    OverflowError,
)
"""Errors of a statement that fails whenever it is tried."""


class StateUnusable(Exception):
    """The file cannot be used now, or is not ours; nothing was done to it."""


FLUSH_SECONDS = 5.0
RETRY_SECONDS = 0.5
GATHER_SECONDS = 0.05
"""Seconds from asking a source of statements to the commit: time for more of them to come together."""

TRIM_SECONDS = 60.0

_Pull = Callable[[], list[Statement]]
_Write = Statement | _Pull | asyncio.Future[None] | None
"""A statement, a source that has some when asked, a waiter for those before it, or the end."""


MOST_UNWRITTEN = 20_000
"""Statements that are held while the file cannot be written."""


def _shortened(batch: list[_Write]) -> list[_Write]:
    """Without what later statements replace; then what happened longest ago goes first, and never what should run."""
    latest: list[_Write] = []
    replaced = set()
    for write in reversed(batch):
        key = replaces(write) if isinstance(write, tuple) else None
        if key is None or key not in replaced:
            latest.append(write)
            replaced.add(key)
    spare = len(latest) - MOST_UNWRITTEN
    kept = []
    for write in reversed(latest):
        if spare > 0 and isinstance(write, tuple) and is_history(write):
            spare -= 1
        else:
            kept.append(write)
    return kept


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class Store:
    """With a path of None nothing is kept and everything works.

    ``failure`` says why the latest statements are not in the file yet; it is None while all is well.
    """

    def __init__(self, path: Path | None, bounds: Bounds | None = None) -> None:
        self.path = path
        self.bounds = bounds or Bounds()
        self._lock_file: int | None = None
        self.failure: str | None = None
        self._writes: queue.SimpleQueue[_Write] = queue.SimpleQueue()
        self._database: sqlite3.Connection | None = None
        self._writer: Worker[None] | None = None
        self._unwritten = 0
        self._count = threading.RLock()  # the garbage collector may come while it is held

    def open(self) -> Kept:
        """Take the file for this app, bring it to today's schema, and read what is in it.

        Raises:
            StateUnusable: another process has it open, or it is not ours.
            OSError: the folder or the file cannot be written.
        """
        if self.path is None:
            return Kept()
        if self.path.exists() and not self.path.is_file():
            raise StateUnusable(f"{self.path} is not a regular file; choose another with --state")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_file)
            raise StateUnusable(f"{self.path} is in use by another echodeck; choose another with --state") from None
        try:
            kept = self._read(self.path)
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:  # it is not what we put there
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FOR_NOW:
                raise StateUnusable(f"{self.path} cannot be used: {error}") from error
            self._set_aside(self.path, error)
            kept = self._read(self.path)
        self._writer = Worker("state", self._write_all)
        self._writer.start()
        return kept

    def put(self, write: Statement | _Pull) -> None:
        """Have a statement carried out after those before it; safe to call from any thread.

        A source of statements is asked on the writer's thread, when it is its turn or shortly after.
        """
        if self._writer is not None and not self._writer.ended.done():
            with self._count:
                self._unwritten += 1
            self._writes.put(write)

    async def flush(self) -> None:
        """Return when every statement so far is in the file, or after ``FLUSH_SECONDS`` if it cannot be written now."""
        if self._unwritten and self._writer is not None and not self._writer.ended.done():
            done = asyncio.get_running_loop().create_future()
            self._writes.put(done)
            patience = FLUSH_SECONDS if self.failure is None else RETRY_SECONDS
            await asyncio.wait({done, self._writer.ended}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        if self._writer is not None:
            self._writes.put(None)
            await asyncio.wait({self._writer.ended}, timeout=1.0 + RETRY_SECONDS)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _read(self, path: Path) -> Kept:
        database = sqlite3.connect(path, isolation_level=None)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            owner = database.execute("PRAGMA application_id").fetchone()[0]
            tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if tables and owner != _APPLICATION_ID:
                raise StateUnusable(f"{path} is the database of another program; choose another with --state")
            if version > VERSION:
                raise StateUnusable(f"{path} was written by a later version of echodeck (schema {version})")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            (health,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if health != "ok":
                raise sqlite3.DatabaseError(health)
            migrate(database)
            for statement, values in (BOOT, *trim(self.bounds, datetime.now(UTC))):
                database.execute(statement, values)
            return read(database)
        finally:
            database.close()

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = path.with_name(f"{path.name}.unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        path.rename(aside)
        log.error(
            "the state in %s cannot be read (%s); it was moved to %s, and the app starts without it", path, error, aside
        )

    def _write_all(self) -> None:
        assert self.path is not None
        batch: list[_Write] = []
        taken = 0
        going_on = True
        trim_due = time.monotonic() + TRIM_SECONDS
        while going_on:
            taken += self._gather(batch)
            going_on = None not in batch
            statements = [one for one in batch if isinstance(one, tuple)]
            if time.monotonic() >= trim_due:
                statements += trim(self.bounds, datetime.now(UTC))
                trim_due = time.monotonic() + TRIM_SECONDS
            try:
                try:
                    self._commit(self.path, statements)
                except _OF_ITS_OWN:  # what else there is must not be lost with it, nor wait for it
                    self._commit_one_by_one(self.path, batch)
            except sqlite3.Error as error:
                if self.failure is None:
                    log.error("the state cannot be written to %s (%s); it is tried again", self.path, error)
                self.failure = str(error)
                batch = _shortened(batch)
                time.sleep(RETRY_SECONDS)
                continue
            if self.failure is not None:
                log.warning("the state is written to %s again", self.path)
                self.failure = None
            with self._count:
                self._unwritten -= taken
            taken = 0
            for write in batch:
                if isinstance(write, asyncio.Future):
                    with suppress(RuntimeError):  # the loop is closed
                        write.get_loop().call_soon_threadsafe(_settle, write)
            batch.clear()
        if self._database is not None:
            self._database.close()
        if self.failure is not None:
            log.error("the latest changes of the state are lost: %s", self.failure)

    def _commit_one_by_one(self, path: Path, batch: list[_Write]) -> None:
        """What is done with leaves the batch, so that it is not done again should the next one have to wait."""
        for write in [one for one in batch if isinstance(one, tuple)]:
            try:
                self._commit(path, [write])
            except _OF_ITS_OWN:
                log.exception("a change of the state cannot be written, and is lost")
            batch.remove(write)

    def _gather(self, batch: list[_Write]) -> int:
        """Wait for something to write and take what is there; returns how much of it was put."""
        fresh = [] if batch else [self._writes.get()]
        fresh += self._queued()
        if fresh and all(callable(one) for one in fresh):
            with suppress(queue.Empty):
                fresh.append(self._writes.get(timeout=GATHER_SECONDS))
            fresh += self._queued()
        for one in fresh:
            batch += one() if callable(one) else [one]
        return sum(callable(one) or isinstance(one, tuple) for one in fresh)

    def _commit(self, path: Path, writes: list[Statement]) -> None:
        if self._database is None:
            self._database = sqlite3.connect(path, timeout=1.0)
            self._database.execute("PRAGMA synchronous = NORMAL")
        with self._database:  # commits, or rolls back
            for statement, values in writes:
                self._database.execute(statement, values)

    def _queued(self) -> Iterator[_Write]:
        while True:
            try:
                yield self._writes.get_nowait()
            except queue.Empty:
                return
