"""What should run, kept in one SQLite file so that it runs again after the app ends, however it ends.

One writer thread, which commits whatever has come together since its last commit (WAL, sqlite.org/wal.html): what was
flushed survives a kill -9 of the app, and no disk is waited for on the loop.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import queue
import sqlite3
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


class StateInUse(Exception):
    """Another app keeps its state in this file."""


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
    """With a path of None nothing is kept and everything works."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock_file: int | None = None
        self._writes: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | asyncio.Future[None] | None] = queue.SimpleQueue()
        self._writer: Worker[None] | None = None

    def open(self) -> list[Saved]:
        """Take the file for this app and read what is in it, in the order of creation.

        Raises:
            StateInUse: another process has it open.
            OSError: the folder or the file cannot be written.
        """
        if self.path is None:
            return []
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_file)
            raise StateInUse(f"{self.path} is in use by another echodeck; choose another file with --state") from None
        try:
            saved = self._read(self.path)
        except sqlite3.DatabaseError as error:
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
        """Return when everything said so far is in the file."""
        if self._writer is not None and not self._writer.ended.done():
            done = asyncio.get_running_loop().create_future()
            self._writes.put(done)
            await asyncio.wait({done, self._writer.ended}, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        if self._writer is not None:
            self._writes.put(None)
            await asyncio.wait({self._writer.ended}, timeout=1.0)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _put(self, statement: str, values: tuple[Any, ...]) -> None:
        if self._writer is not None and not self._writer.ended.done():
            self._writes.put((statement, values))

    def _read(self, path: Path) -> list[Saved]:
        database = sqlite3.connect(path)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise sqlite3.DatabaseError(f"it was written by a later version of echodeck (schema {version})")
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
        database = sqlite3.connect(self.path, isolation_level=None)
        database.execute("PRAGMA synchronous = NORMAL")
        try:
            while (first := self._writes.get()) is not None:
                flushed: list[asyncio.Future[None]] = []
                database.execute("BEGIN IMMEDIATE")
                for item in (first, *self._queued()):
                    if isinstance(item, tuple):
                        database.execute(*item)
                    elif item is not None:
                        flushed.append(item)
                    else:
                        self._writes.put(None)
                database.execute("COMMIT")
                for done in flushed:
                    with suppress(RuntimeError):  # the loop is closed
                        done.get_loop().call_soon_threadsafe(_settle, done)
        except sqlite3.Error:
            log.exception(
                "the state can no longer be written to %s; what changes from now on is lost with the app", self.path
            )
        finally:
            database.close()

    def _queued(self) -> Iterator[tuple[str, tuple[Any, ...]] | asyncio.Future[None] | None]:
        while True:
            try:
                yield self._writes.get_nowait()
            except queue.Empty:
                return
