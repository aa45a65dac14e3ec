"""What should run, kept in one SQLite file so that it runs again after the app ends, however it ends.

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
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.worker import Worker

log = logging.getLogger("echodeck.store")

_SCHEMA_VERSION = 1
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS servers (
        name TEXT PRIMARY KEY, serial INTEGER NOT NULL, spec TEXT NOT NULL, desired TEXT NOT NULL
    ) STRICT
"""


_APPLICATION_ID = 0x6563_686F  # "echo", in the file's header: whose database it is
_UNREADABLE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


class StateUnusable(Exception):
    """The file cannot be used now, or is not ours; nothing was done to it."""


FLUSH_SECONDS = 5.0
RETRY_SECONDS = 0.5

_Write = tuple[str, tuple[Any, ...]] | asyncio.Future[None] | None
"""A statement, somebody who waits for those before, or the end."""


@dataclass(frozen=True)
class Saved:
    """A server as it was left. ``spec`` is the JSON of a ``ServerSpec``."""

    serial: int
    name: str
    spec: str
    desired: str


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class Store:
    """With a path of None nothing is kept and everything works.

    ``failure`` says why what was last said is not in the file yet; it is None while all is well.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock_file: int | None = None
        self.failure: str | None = None
        self._writes: queue.SimpleQueue[_Write] = queue.SimpleQueue()
        self._database: sqlite3.Connection | None = None
        self._writer: Worker[None] | None = None

    def open(self) -> list[Saved]:
        """Take the file for this app and read what is in it, in the order of creation.

        Raises:
            StateUnusable: another process has it open, or it is not ours.
            OSError: the folder or the file cannot be written.
        """
        if self.path is None:
            return []
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
            saved = self._read(self.path)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in _UNREADABLE:
                raise StateUnusable(f"{self.path} cannot be used: {error}") from error
            saved = []
            self._set_aside(self.path, error)
            self._read(self.path)
        self._writer = Worker("state", self._write_all)
        self._writer.start()
        return saved

    def save(self, saved: Saved) -> None:
        self._put(
            "INSERT INTO servers VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "serial = excluded.serial, spec = excluded.spec, desired = excluded.desired",
            (saved.name, saved.serial, saved.spec, saved.desired),
        )

    def remove(self, name: str) -> None:
        self._put("DELETE FROM servers WHERE name = ?", (name,))

    async def flush(self) -> None:
        """Return when everything said so far is in the file, or after ``FLUSH_SECONDS`` if it cannot be written now."""
        if self._writer is not None and not self._writer.ended.done():
            done = asyncio.get_running_loop().create_future()
            self._writes.put(done)
            await asyncio.wait({done, self._writer.ended}, timeout=FLUSH_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        if self._writer is not None:
            self._writes.put(None)
            await asyncio.wait({self._writer.ended}, timeout=1.0 + RETRY_SECONDS)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _put(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._writer is not None and not self._writer.ended.done():
            self._writes.put((statement, values))

    def _read(self, path: Path) -> list[Saved]:
        database = sqlite3.connect(path)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            owner = database.execute("PRAGMA application_id").fetchone()[0]
            tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if tables and owner != _APPLICATION_ID:
                raise StateUnusable(f"{path} is the database of another program; choose another with --state")
            if version > _SCHEMA_VERSION:
                raise StateUnusable(f"{path} was written by a later version of echodeck (schema {version})")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            rows = database.execute("SELECT serial, name, spec, desired FROM servers ORDER BY serial").fetchall()
        finally:
            database.close()
        return [Saved(*row) for row in rows]

    def _set_aside(self, path: Path, error: sqlite3.DatabaseError) -> None:
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
        going_on = True
        while going_on:
            if not batch:
                batch.append(self._writes.get())
            batch += self._queued()
            going_on = None not in batch
            try:
                self._commit(self.path, [write for write in batch if isinstance(write, tuple)])
            except sqlite3.Error as error:
                if self.failure is None:
                    log.error("the state cannot be written to %s (%s); it is tried again", self.path, error)
                self.failure = str(error)
                time.sleep(RETRY_SECONDS)
                continue
            if self.failure is not None:
                log.warning("the state is written to %s again", self.path)
                self.failure = None
            for write in batch:
                if isinstance(write, asyncio.Future):
                    with suppress(RuntimeError):  # the loop is closed
                        write.get_loop().call_soon_threadsafe(_settle, write)
            batch.clear()
        if self._database is not None:
            self._database.close()
        if self.failure is not None:
            log.error("the latest changes of the state are lost: %s", self.failure)

    def _commit(self, path: Path, writes: list[tuple[str, tuple[Any, ...]]]) -> None:
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
