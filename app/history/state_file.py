"""The state file itself: an SQLite database that one app has at a time, under whatever name.

The lock that says so is on the file, not on a name beside it: a symbolic or hard link is the same file. What clients
sent may be in it, so nobody else may read it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from app.history.schema import BOOT, VERSION, Bounds, Kept, Statement, migrate, read, trim_rows

log = logging.getLogger("echodeck.state")

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

_LOCKED_BYTE = 1 << 62
"""Far beyond those that SQLite locks (sqlite.org/lockingv3.html)."""


class StateUnusable(Exception):
    """The file cannot be used now, or is not ours; nothing was done to it."""


class StateReplaced(Exception):
    """Another file is where the state file was."""


class StateDeleted(Exception):
    """The state file is gone: what is written to it now would be nobody's."""


class StateFile:
    """``take`` it first. ``commit`` and ``take_anew`` are for one thread, ``release`` for when that has ended."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.path = path
        self._bounds = bounds
        self._taken: int | None = None
        self._database: sqlite3.Connection | None = None

    def take(self) -> Kept:
        """Have it for this app alone, bring it to today's schema, and read what is in it.

        Raises:
            StateUnusable: another process has it, it is not ours, or it cannot be written.
        """
        try:
            return self._take()
        except OSError as error:
            no_folder = isinstance(error, FileExistsError | NotADirectoryError)
            reason = f"{error.filename} cannot be a folder" if no_folder else error.strerror
            raise StateUnusable(
                f"the state cannot be kept in {self.path}: {reason}; choose another file with --state"
            ) from error

    def take_anew(self) -> None:
        """After its deletion, have an empty one.

        Raises:
            StateUnusable: as ``take``.
        """
        self.release()
        self.take()

    def commit(self, writes: Sequence[Statement]) -> None:
        """Carry these out, all or none.

        Raises:
            StateDeleted, StateReplaced: it is not where it was.
            sqlite3.Error, OSError: it cannot be written.
        """
        self._check_place()
        if self._database is None:
            self._database = sqlite3.connect(self.path, timeout=1.0)
            self._database.execute("PRAGMA synchronous = NORMAL")
        with self._database:  # commits, or rolls back
            for statement, values in writes:
                self._database.execute(statement, values)

    def close(self) -> None:
        """Of the thread that commits: it does so no more."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def release(self) -> None:
        self.close()
        if self._taken is not None:
            os.close(self._taken)
            self._taken = None

    def _take(self) -> Kept:
        # The files that SQLite puts beside it belong to the file, not to a link to it. ``Path.resolve`` would raise
        # RuntimeError for a link to itself.
        self.path = Path(os.path.realpath(self.path))
        if self.path.exists() and not self.path.is_file():
            raise StateUnusable(f"{self.path} is not a regular file; choose another with --state")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock()
        try:
            return self._read()
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:  # it is not what we put there
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FOR_NOW:
                self.release()
                raise StateUnusable(f"{self.path} cannot be used: {error}") from error
            self._set_aside(error)
            self.release()
            self._lock()
            return self._read()
        except BaseException:
            self.release()
            raise

    def _lock(self) -> None:
        self._taken = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock_out_others(self._taken)
        except (BlockingIOError, PermissionError):
            self.release()
            raise StateUnusable(f"{self.path} is in use by another echodeck; choose another with --state") from None
        with suppress(OSError):  # it is somebody else's, who lets us write
            os.fchmod(self._taken, os.fstat(self._taken).st_mode & stat.S_IRWXU)

    def _read(self) -> Kept:
        database = sqlite3.connect(self.path, isolation_level=None)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            owner = database.execute("PRAGMA application_id").fetchone()[0]
            tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if tables and owner != _APPLICATION_ID:
                raise StateUnusable(f"{self.path} is the database of another program; choose another with --state")
            if version > VERSION:
                raise StateUnusable(f"{self.path} was written by a later version of echodeck (schema {version})")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            (health,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if health != "ok":
                raise sqlite3.DatabaseError(health)
            migrate(database)
            for statement, values in (BOOT, *trim_rows(self._bounds)):
                database.execute(statement, values)
            return read(database)
        finally:
            database.close()

    def _set_aside(self, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
        self.path.rename(aside)
        log.error(
            "the state in %s cannot be read (%s); it was moved to %s, and the app starts without it",
            *(self.path, error, aside),
        )

    def _check_place(self) -> None:
        assert self._taken is not None
        ours = os.fstat(self._taken)
        try:
            there = os.stat(self.path)  # noqa: PTH116  # a path may be replaced by a link
        except FileNotFoundError:
            raise StateDeleted(f"{self.path} was deleted") from None
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise StateReplaced(f"another file is in the place of {self.path}; move it away")
        if self._database is not None and not Path(f"{self.path}-wal").exists():
            self.close()  # which brings what was in it into the file


def _lock_out_others(descriptor: int) -> None:
    """Raises:
    BlockingIOError, PermissionError: another process has it.
    """
    if hasattr(fcntl, "F_OFD_SETLK"):
        # A lock of this open file (fcntl(2)): SQLite's own, of the process, neither meet it nor end it, on NFS too.
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
