"""The state file: what it keeps, whose it is, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app import store as module
from app.schema import Saved, drop_server, put_server
from app.store import StateUnusable, Store
from tests.helpers import until

ONE = Saved(1, "one", "{}", "running")
TWO = Saved(2, "two", "{}", "stopped")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.1)


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
        await store.flush()
        await until(lambda: store.failure, "the failure shows")
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
        async with asyncio.timeout(5):
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
