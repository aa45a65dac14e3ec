"""The tables of the state file, how each schema came out of the one before, and the statements that change them.

Times are seconds of the epoch. ``MIGRATIONS[n]`` leads from schema n to n + 1; what was released is never edited, only
followed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.history.exceptions import Caught, Details
from app.history.journal import Entry

MIGRATIONS = (
    """
    CREATE TABLE servers (
        name TEXT PRIMARY KEY, serial INTEGER NOT NULL, spec TEXT NOT NULL, desired TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE app (boots INTEGER NOT NULL) STRICT;
    INSERT INTO app VALUES (0);
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, server TEXT NOT NULL, what TEXT NOT NULL
    ) STRICT;
    CREATE TABLE exceptions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, server TEXT NOT NULL, serial INTEGER NOT NULL, variant TEXT NOT NULL,
        first_at REAL NOT NULL, at REAL NOT NULL, connection TEXT, peer TEXT, type TEXT NOT NULL, message TEXT NOT NULL,
        traceback TEXT NOT NULL, input BLOB, fatal INTEGER NOT NULL, count INTEGER NOT NULL
    ) STRICT
    """,
    """
    ALTER TABLE app ADD COLUMN known_time REAL
    """,
    """
    CREATE TABLE minutes (
        server TEXT NOT NULL, serial INTEGER NOT NULL, hour INTEGER NOT NULL, packed BLOB NOT NULL,
        PRIMARY KEY (server, serial, hour)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE results (number INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT
    """,
    """
    CREATE TABLE recordings (number INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT
    """,
)

VERSION = len(MIGRATIONS)

Statement = tuple[str, tuple[object, ...]]


@dataclass(frozen=True)
class Saved:
    """A server as it was left. ``spec`` is the JSON of a ``ServerSpec``."""

    serial: int
    name: str
    spec: str
    desired: str


@dataclass(frozen=True)
class Minutes:
    """An hour of a server's figures (``series.Series.hour``); ``hour`` counts from the epoch."""

    server: str
    serial: int
    hour: int
    packed: bytes


@dataclass(frozen=True)
class Packed:
    """What came out of an experiment (``experiments.result.Result``), or a recording (``recordings.recording``)."""

    number: int
    packed: bytes


@dataclass(frozen=True)
class Kept:
    """All that the file holds, each in the order of its making; ``boots`` counts how often the file was opened.

    The last ids are those last given, even if what had them is gone: none is given twice. ``known_time`` is the latest
    time that is believed, in seconds of the epoch.
    """

    servers: list[Saved] = field(default_factory=list)
    journal: list[Entry] = field(default_factory=list)
    exceptions: list[Caught] = field(default_factory=list)
    minutes: list[Minutes] = field(default_factory=list)
    results: list[Packed] = field(default_factory=list)
    recordings: list[Packed] = field(default_factory=list)
    last_entry: int = 0
    last_exception: int = 0
    boots: int = 1
    known_time: float | None = None


@dataclass(frozen=True)
class Bounds:
    """Of the journal, in rows and in days."""

    entries: int = 10_000
    exceptions: int = 1_000
    days: float = 30.0


def migrate(database: sqlite3.Connection) -> None:
    """Bring the tables to ``VERSION``, all of it or nothing. The connection is in autocommit mode."""
    database.execute("BEGIN IMMEDIATE")
    try:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version < 0:
            raise ValueError(f"there is no schema {version}")
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def read(database: sqlite3.Connection) -> Kept:
    def at(seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    servers = database.execute("SELECT serial, name, spec, desired FROM servers ORDER BY serial")
    journal = database.execute("SELECT id, at, server, what FROM journal ORDER BY id")
    exceptions = database.execute(
        "SELECT id, server, serial, variant, first_at, at, connection, peer, type, message, traceback, input, fatal, "
        "count FROM exceptions ORDER BY id"
    )

    minutes = database.execute("SELECT server, serial, hour, packed FROM minutes ORDER BY hour")
    results = database.execute("SELECT number, packed FROM results ORDER BY number")
    recordings = database.execute("SELECT number, packed FROM recordings ORDER BY number")

    def caught(id: int, server: str, serial: int, variant: str, first: float, latest: float, *more: Any) -> Caught:
        *details, fatal, count = more
        return Caught(
            id, server, serial, variant, at(first), at(latest), Details(*details), at(latest), bool(fatal), count
        )

    def last_id(table: str) -> int:
        (highest,) = database.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()  # noqa: S608
        return max(int(highest), int(last.get(table, 0)))

    last = dict(database.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    boots, known_time = database.execute("SELECT boots, known_time FROM app").fetchone()
    return Kept(
        servers=[Saved(*row) for row in servers],
        journal=[Entry(id, at(when), server, what) for id, when, server, what in journal],
        exceptions=[caught(*row) for row in exceptions],
        minutes=[Minutes(*row) for row in minutes],
        results=[Packed(*row) for row in results],
        recordings=[Packed(*row) for row in recordings],
        last_entry=last_id("journal"),
        last_exception=last_id("exceptions"),
        boots=int(boots),
        known_time=known_time,
    )


BOOT: Statement = ("UPDATE app SET boots = boots + 1", ())


def put_boots(boots: int) -> Statement:
    return "UPDATE app SET boots = ?", (boots,)


def put_last_ids(entry: int, exception: int) -> list[Statement]:
    """In a file that was made anew, so that no id is given twice."""
    return [
        ("DELETE FROM sqlite_sequence", ()),
        ("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?), ('exceptions', ?)", (entry, exception)),
    ]


def put_server(saved: Saved) -> Statement:
    return _PUT_SERVER, (saved.name, saved.serial, saved.spec, saved.desired)


def drop_server(name: str) -> Statement:
    return "DELETE FROM servers WHERE name = ?", (name,)


def replaces(statement: Statement) -> object:
    """Equal for statements of which the last one makes those before needless; None for others."""
    sql, values = statement
    return (sql, values[0]) if sql in (_PUT_SERVER, _PUT_EXCEPTION, _PUT_RESULT, _PUT_RECORDING) else None


def is_history(statement: Statement) -> bool:
    """Whether it adds to the journal, and to nothing else."""
    return statement[0] == _PUT_ENTRY


_PUT_RESULT = "INSERT OR REPLACE INTO results VALUES (?, ?)"
_PUT_RECORDING = "INSERT OR REPLACE INTO recordings VALUES (?, ?)"
_PUT_ENTRY = "INSERT INTO journal VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_PUT_EXCEPTION = "INSERT OR REPLACE INTO exceptions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_SERVER = (
    "INSERT INTO servers VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "serial = excluded.serial, spec = excluded.spec, desired = excluded.desired"
)


def put_entry(entry: Entry) -> Statement:
    return _PUT_ENTRY, (entry.id, entry.at.timestamp(), entry.server, entry.what)


def put_exception(record: Caught) -> Statement:
    of = record.details
    return (
        _PUT_EXCEPTION,
        (
            record.id,
            record.server,
            record.serial,
            record.variant,
            record.first_at.timestamp(),
            record.at.timestamp(),
            of.connection,
            of.peer,
            of.type,
            of.message,
            of.traceback,
            of.input,
            record.fatal,
            record.count,
        ),
    )


def put_minutes(minutes: Minutes) -> Statement:
    return (
        "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?)",
        (minutes.server, minutes.serial, minutes.hour, minutes.packed),
    )


def drop_minutes(server: str, serial: int) -> Statement:
    return "DELETE FROM minutes WHERE server = ? AND serial = ?", (server, serial)


def trim_minutes(oldest_hour: int) -> Statement:
    return "DELETE FROM minutes WHERE hour < ?", (oldest_hour,)


def put_result(result: Packed) -> Statement:
    return _PUT_RESULT, (result.number, result.packed)


def drop_result(number: int) -> Statement:
    return "DELETE FROM results WHERE number = ?", (number,)


def put_recording(recording: Packed) -> Statement:
    return _PUT_RECORDING, (recording.number, recording.packed)


def drop_recording(number: int) -> Statement:
    return "DELETE FROM recordings WHERE number = ?", (number,)


def drop_exceptions(up_to: int, server: str | None) -> Statement:
    """Those with ids up to this one; of one server, or of all with None."""
    return "DELETE FROM exceptions WHERE id <= ? AND server = coalesce(?, server)", (up_to, server)


def trim_rows(bounds: Bounds) -> list[Statement]:
    """Drop what is beyond the bounds in rows."""
    return [
        (f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?", (rows,))  # noqa: S608
        for table, rows in (("journal", bounds.entries), ("exceptions", bounds.exceptions))
    ]


def trim(bounds: Bounds, oldest: datetime, known_time: float) -> list[Statement]:
    """Drop what is beyond the bounds, in rows and in days, and remember the time by which that was judged."""
    before = oldest.timestamp()
    return [
        *trim_rows(bounds),
        # Only up to the first entry that is young enough: those of a while when the clock was wrong go with the others.
        (
            "DELETE FROM journal WHERE at < ?1 "
            "AND id < coalesce((SELECT min(id) FROM journal WHERE at BETWEEN ?1 AND ?2), 9e18)",
            (before, known_time),
        ),
        ("DELETE FROM exceptions WHERE at < ?", (before,)),
        ("UPDATE app SET known_time = ?", (known_time,)),
    ]
