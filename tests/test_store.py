"""The state file: what it keeps, whose it is, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotKept
from app.history import state_file
from app.history import store as module
from app.history.exceptions import Caught, Details
from app.history.journal import Entry
from app.history.schema import (
    MIGRATIONS,
    Bounds,
    Kept,
    Saved,
    Statement,
    drop_exceptions,
    drop_server,
    put_entry,
    put_exception,
    put_server,
    trim,
)
from app.history.state_file import StateUnusable
from app.history.store import Store
from tests.helpers import PATIENCE, until

ONE = Saved(1, "one", "{}", "running")
TWO = Saved(2, "two", "{}", "stopped")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 5.0)


async def read(path: Path) -> list[Saved]:
    store = Store(path)
    try:
        return store.open().servers
    finally:
        await store.close()


async def write(path: Path, *saved: Saved) -> None:
    store = Store(path)
    store.open()
    for one in saved:
        store.put(put_server(one))
    await store.flush()
    await store.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_what_was_flushed_is_there_again_in_order(tmp_path: Path) -> None:
    await write(tmp_path / "state", TWO, ONE)
    assert await read(tmp_path / "state") == [ONE, TWO]


async def test_the_latest_counts_and_what_was_removed_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.open()
    store.put(put_server(ONE))
    store.put(put_server(Saved(1, "one", "{}", "stopped")))
    store.put(put_server(TWO))
    store.put(drop_server("two"))
    await store.close()
    assert await read(tmp_path / "state") == [Saved(1, "one", "{}", "stopped")]


async def test_nothing_is_kept_without_a_path() -> None:
    store = Store(None)
    assert store.open().servers == []
    store.put(put_server(ONE))
    await store.flush()
    await store.close()


async def test_a_file_that_another_program_locks_for_a_while_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state"
    store = Store(path)
    store.open()
    with locked(path):
        store.put(put_server(ONE))
        with pytest.raises(NotKept, match="locked"):
            await store.flush()
        assert store.failure
        store.put(put_server(TWO))
    await until(lambda: store.failure is None, "it is written")
    await store.close()
    assert await read(path) == [ONE, TWO]
    assert caplog.text.count("cannot be written") == 1


async def test_an_end_does_not_wait_for_a_lock(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state"
    store = Store(path)
    store.open()
    with locked(path):
        store.put(put_server(ONE))
        async with asyncio.timeout(PATIENCE):
            await store.close()
        await until(lambda: store._writer is not None and store._writer.ended.done(), "the writer ends")
    assert "are lost" in caplog.text


async def test_a_locked_file_is_not_touched_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    await write(path, ONE)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: connect(path, **options | {"timeout": 0.05}))
    with locked(path), pytest.raises(StateUnusable, match="locked"):
        await read(path)
    assert await read(path) == [ONE]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [("PRAGMA user_version = 99", "later version"), ("PRAGMA application_id = 7", "another program")],
)
async def test_a_file_that_is_not_ours_is_not_touched(tmp_path: Path, statement: str, reason: str) -> None:
    path = tmp_path / "state"
    await write(path, ONE)
    with closing(sqlite3.connect(path)) as other:
        other.execute(statement)
        other.commit()
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match=reason):
        await read(path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*unreadable*"))


async def test_what_is_no_regular_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StateUnusable, match="regular file"):
        await read(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0 and then nothing of the kind" * 100])
async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(damage)
    assert await read(path) == []
    (aside,) = tmp_path.glob("state.unreadable-*")
    assert aside.read_bytes() == damage
    await write(path, ONE)
    assert await read(path) == [ONE]


async def test_a_page_that_is_damaged_within_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    await write(path, *(Saved(number, f"server-{number}", "{}" * 500, "running") for number in range(200)))
    pages = bytearray(path.read_bytes())
    pages[4096 * 20 : 4096 * 22] = b"\xff" * 8192
    path.write_bytes(pages)
    assert await read(path) == []
    assert len(list(tmp_path.glob("state.unreadable-*"))) == 1


async def test_a_file_cut_short_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "state"
    await write(path, *(Saved(number, f"server-{number}", "{}" * 500, "running") for number in range(200)))
    path.write_bytes(path.read_bytes()[:5000])
    assert await read(path) == []
    assert len(list(tmp_path.glob("state.unreadable-*"))) == 1


# What the file holds


NOW = datetime.now(UTC).replace(microsecond=0)


def entry(id: int, at: datetime = NOW) -> Entry:
    return Entry(id, at, "one", f"entry {id}")


def caught(id: int, at: datetime = NOW, count: int = 1) -> Caught:
    details = Details("1-1", "127.0.0.1:5", "ValueError", "no", "Traceback\n", b"\x00\xff")
    return Caught(id, "one", 1, "asyncio", at, at, details, at, True, count)


async def keep(path: Path, *statements: Statement, bounds: Bounds | None = None) -> Kept:
    """Write these, and read what is there afterwards."""
    store = Store(path, bounds)
    store.open()
    for statement in statements:
        store.put(statement)
    await store.close()
    store = Store(path, bounds)
    try:
        return store.open()
    finally:
        await store.close()


async def test_entries_and_exceptions_come_back_as_they_were(tmp_path: Path) -> None:
    kept = await keep(
        tmp_path / "state", put_entry(entry(1)), put_exception(caught(1)), put_exception(caught(1, count=7))
    )
    assert kept.journal == [entry(1)]
    assert [(one.details, one.count, one.fatal, one.at) for one in kept.exceptions] == [
        (caught(1).details, 7, True, NOW)
    ]


async def test_no_id_is_given_twice_even_if_what_had_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    await keep(path, put_exception(caught(41)), put_exception(caught(42)), drop_exceptions(42, None))
    kept = await keep(path)
    assert (kept.exceptions, kept.last_exception) == ([], 42)


async def test_a_deletion_spares_what_came_after_it_was_said(tmp_path: Path) -> None:
    kept = await keep(tmp_path / "state", put_exception(caught(1)), put_exception(caught(2)), drop_exceptions(1, None))
    assert [one.id for one in kept.exceptions] == [2]


async def test_each_life_has_a_number_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert (await keep(path)).boots == 2
    assert (await keep(path)).boots == 4


@pytest.mark.parametrize(("bounds", "left"), [(Bounds(entries=2, exceptions=1), (2, 1)), (Bounds(days=1.0), (3, 3))])
async def test_the_journal_is_bounded_in_rows_and_age(tmp_path: Path, bounds: Bounds, left: tuple[int, int]) -> None:
    old = NOW - timedelta(days=2)
    statements = [put_entry(entry(id, old if id < 3 else NOW)) for id in range(1, 6)]
    statements += [put_exception(caught(id, old if id < 3 else NOW)) for id in range(1, 6)]
    statements += trim(bounds, NOW - timedelta(days=bounds.days), NOW.timestamp())
    kept = await keep(tmp_path / "state", *statements)
    assert (len(kept.journal), len(kept.exceptions)) == left
    assert (kept.journal[-1].id, kept.exceptions[-1].id) == (5, 5)
    assert kept.known_time == NOW.timestamp()


async def test_entries_of_a_while_when_the_clock_was_wrong_go_with_those_around_them(tmp_path: Path) -> None:
    day = timedelta(days=1)
    times = [NOW - 3 * day, NOW - day, NOW - 9999 * day, NOW + 400 * day, NOW]
    statements = [put_entry(entry(id, at)) for id, at in enumerate(times, 1)]
    path = tmp_path / "state"
    kept = await keep(path, *statements, *trim(Bounds(), NOW - 2 * day, NOW.timestamp()))
    assert [one.id for one in kept.journal] == [2, 3, 4, 5]
    kept = await keep(path, *trim(Bounds(), NOW - day / 2, NOW.timestamp()))
    assert [one.id for one in kept.journal] == [4, 5]


async def test_what_is_all_old_goes_all(tmp_path: Path) -> None:
    old = [put_entry(entry(id, NOW - timedelta(days=9))) for id in (1, 2)]
    assert (await keep(tmp_path / "state", *old, *trim(Bounds(), NOW, NOW.timestamp()))).journal == []


async def test_one_with_statements_of_his_own_is_asked_once_for_all_of_them(tmp_path: Path) -> None:
    store, asked = Store(tmp_path / "state"), []
    store.open()

    def pull() -> list[Statement]:
        asked.append(1)
        return [put_exception(caught(1))]

    store.put(pull)
    await store.flush()
    assert asked == [1]
    await store.flush()  # nothing is left to wait for
    await store.close()
    assert [one.id for one in (await keep(tmp_path / "state")).exceptions] == [1]


# Schemas


def schema(path: Path, version: int) -> None:
    """A file as that version of the app left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        for script in MIGRATIONS[:version]:
            made.executescript(script)
        made.execute(f"PRAGMA application_id = {state_file._APPLICATION_ID}")
        made.execute(f"PRAGMA user_version = {version}")
        made.execute("INSERT INTO servers VALUES ('one', 1, '{}', 'running')")


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_every_earlier_schema_migrates(tmp_path: Path, version: int) -> None:
    path = tmp_path / "state"
    schema(path, version)
    kept = await keep(path, put_entry(entry(1)), put_exception(caught(1)))
    assert (kept.servers, len(kept.journal), len(kept.exceptions)) == ([ONE], 1, 1)


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    schema(path, 1)
    monkeypatch.setattr(
        "app.history.schema.MIGRATIONS", (*MIGRATIONS[:2], "CREATE TABLE more (id); CREATE TABLE more (id)")
    )
    monkeypatch.setattr("app.history.schema.VERSION", 3)
    monkeypatch.setattr("app.history.state_file.VERSION", 3)
    monkeypatch.setattr(
        "app.history.state_file._FOR_NOW", {sqlite3.SQLITE_ERROR}
    )  # else the file is set aside, as it was
    with pytest.raises(StateUnusable, match="more"):
        await read(path)
    monkeypatch.undo()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
        assert other.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall() == [("servers",)]
    assert (await keep(path)).servers == [ONE]


def spoil(statement: str, *values: object) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(statement, values)

    return do


@pytest.mark.parametrize(
    "damage",
    [
        spoil("UPDATE servers SET spec = CAST(x'ff' AS TEXT)"),
        spoil("DROP TABLE journal"),
        spoil("DELETE FROM app"),
        spoil("UPDATE journal SET at = 1e300"),
        spoil("UPDATE exceptions SET at = 9e999"),
        spoil("PRAGMA user_version = 0"),
        spoil("PRAGMA user_version = 1"),
        spoil("PRAGMA user_version = -1"),
    ],
)
async def test_a_database_that_does_not_hold_what_it_should_is_set_aside(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "state"
    await keep(path, put_server(ONE), put_entry(entry(1)), put_exception(caught(1)))
    damage(path)
    assert (await keep(path, put_server(TWO))).servers == [TWO]
    assert len([one for one in tmp_path.glob("state.unreadable-*") if not one.name.endswith(("-wal", "-shm"))]) == 1


async def test_a_value_that_no_file_takes_is_lost_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state"
    kept = await keep(
        path, put_server(Saved(2**63, "huge", "", "")), put_server(Saved(1, "half \ud800", "", "")), put_server(ONE)
    )
    assert kept.servers == [ONE]
    assert caplog.text.count("is lost") == 2


async def test_what_fails_whenever_it_is_tried_holds_nothing_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nameless = put_server(Saved(1, None, "{}", "running"))  # type: ignore[arg-type]
    kept = await keep(tmp_path / "state", put_entry(entry(1)), nameless, put_server(ONE))
    assert (len(kept.journal), kept.servers) == (1, [ONE])
    assert "NOT NULL" in caplog.text


async def test_ids_go_on_after_the_highest_even_if_the_file_has_lost_count(tmp_path: Path) -> None:
    path = tmp_path / "state"
    await keep(path, put_entry(entry(7)), put_exception(caught(9)))
    spoil("DELETE FROM sqlite_sequence")(path)
    kept = await keep(path)
    assert (kept.last_entry, kept.last_exception) == (7, 9)


def test_of_what_cannot_be_written_only_the_latest_is_held() -> None:
    batch: list[module._Write] = [put_exception(caught(id % 10, count=id)) for id in range(50_000)]
    batch += [put_server(ONE), drop_server("one"), put_server(TWO), put_server(ONE)]
    kept = module._shortened(batch)
    assert kept == [*batch[49_990:50_000], drop_server("one"), put_server(TWO), put_server(ONE)]


async def test_history_is_given_up_before_what_should_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNWRITTEN", 10)
    path = tmp_path / "state"
    held: list[int] = []
    shorten = module._shortened

    def shortened(batch: list[Any]) -> list[Any]:
        held.append(len(short := shorten(batch)))
        return short

    monkeypatch.setattr(module, "_shortened", shortened)
    store = Store(path)
    store.open()
    with locked(path):
        store.put(put_server(ONE))
        for id in range(1, 101):
            store.put(put_entry(entry(id)))
        await until(lambda: store.failure, "the failure shows")
        await until(lambda: held and store._writes.empty() and held[-1] == 10, "history is given up")
    await until(lambda: store.failure is None, "it is written")
    await store.close()
    kept = await keep(path)
    assert kept.servers == [ONE]
    assert [one.id for one in kept.journal] == list(range(92, 101))


def test_released_schemas_are_never_edited() -> None:
    """Files out there were made by these very scripts; change the tables by a further one."""
    released = {1: "943c", 2: "184a", 3: "dd02", 4: "630a", 5: "ffdd", 6: "ecdb"}
    found = {
        number: hashlib.sha256(" ".join(script.split()).encode()).hexdigest()[:4]
        for number, script in enumerate(MIGRATIONS, 1)
    }
    assert found == released
