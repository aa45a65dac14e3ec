"""What should run and what happened, in one SQLite file: it is there again after the app ends, however it ends.

One writer thread, which commits whatever has come together since its last commit (WAL, sqlite.org/wal.html): what was
flushed survives a kill -9 of the app, and no disk is waited for on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.errors import NotKept
from app.history.schema import Bounds, Kept, Packed, Statement, is_history, put_recording, put_result, replaces
from app.history.state_file import StateDeleted, StateFile, StateReplaced, StateUnusable
from app.loop.worker import Worker

log = logging.getLogger("echodeck.store")

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


FLUSH_SECONDS = 5.0
RETRY_SECONDS = 0.5
GATHER_SECONDS = 0.05
"""Seconds from asking a source of statements to the commit: time for more of them to come together."""

_Pull = Callable[[], list[Statement]]
_Write = Statement | _Pull | asyncio.Future[str | None] | None
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


def _settle(done: asyncio.Future[str | None], failure: str | None) -> None:
    if not done.done():
        done.set_result(failure)


class Store:
    """With a path of None nothing is kept and everything works.

    ``failure`` says why the latest statements are not in the file yet; it is None while all is well. ``owners`` are
    asked on the writer's thread for the statements that make a file anew, after somebody has deleted it.
    """

    def __init__(self, path: Path | None, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.failure: str | None = None
        self.owners: list[_Pull] = []
        self.results: list[Packed] = []
        self.recordings: list[Packed] = []
        self._file = StateFile(path, self.bounds) if path else None
        self._writes: queue.SimpleQueue[_Write] = queue.SimpleQueue()
        self._writer: Worker[None] | None = None
        self._unwritten = 0
        self._count = threading.RLock()  # the garbage collector may come while it is held

    def open(self) -> Kept:
        """Take the file for this app, and read what is in it.

        Raises:
            StateUnusable: another process has it, it is not ours, or it cannot be written.
        """
        if self._file is None:
            return Kept()
        file = self._file
        kept = file.take()
        self.results, self.recordings = kept.results, kept.recordings
        self._writer = Worker("state", lambda: self._write_all(file))
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
        """Return when every statement so far is in the file.

        Raises:
            NotKept: they cannot be written now, or not within ``FLUSH_SECONDS``; it is tried again.
        """
        if self._unwritten and self._writer is not None and not self._writer.ended.done():
            done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            self._writes.put(done)
            either: set[asyncio.Future[Any]] = {done, self._writer.ended}
            await asyncio.wait(either, timeout=FLUSH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            failure = done.result() if done.done() else self.failure or "it takes long"
            if failure is not None:
                raise NotKept(
                    f"It was done, but cannot be written down ({failure}). It is tried again; should the app be killed "
                    "before, it is as if this had not been done.",
                    reason=failure,
                )

    async def close(self) -> None:
        if self._writer is not None:
            self._writes.put(None)
            await asyncio.wait({self._writer.ended}, timeout=1.0 + RETRY_SECONDS)

    def _write_all(self, file: StateFile) -> None:
        batch: list[_Write] = []
        taken = 0
        going_on = True
        while going_on:
            taken += self._gather(batch)
            going_on = None not in batch
            try:
                self._carry_out(file, batch)
            except (sqlite3.Error, OSError, StateReplaced, StateUnusable) as error:
                if self.failure is None:
                    log.error("the state cannot be written to %s (%s); it is tried again", file.path, error)
                self.failure = str(error)
                self._tell_waiters(batch)
                batch = _shortened(batch)
                time.sleep(RETRY_SECONDS)
                continue
            if self.failure is not None:
                log.warning("the state is written to %s again", file.path)
                self.failure = None
            with self._count:
                self._unwritten -= taken
            taken = 0
            self._tell_waiters(batch)
            batch.clear()
        file.release()
        if self.failure is not None:
            log.error("the latest changes of the state are lost: %s", self.failure)

    def _carry_out(self, file: StateFile, batch: list[_Write]) -> None:
        try:
            try:
                file.commit([one for one in batch if isinstance(one, tuple)])
            except StateDeleted as reason:
                log.error("%s; it is written anew", reason)
                file.take_anew()
                batch[:0] = [statement for owner in self.owners for statement in owner()]
                batch[:0] = [put_result(one) for one in self.results]  # whose owners have not taken them yet
                batch[:0] = [put_recording(one) for one in self.recordings]
                file.commit([one for one in batch if isinstance(one, tuple)])
        except _OF_ITS_OWN:  # what else there is must not be lost with it, nor wait for it
            self._commit_one_by_one(file, batch)

    def _tell_waiters(self, batch: list[_Write]) -> None:
        for write in [one for one in batch if isinstance(one, asyncio.Future)]:
            batch.remove(write)
            with suppress(RuntimeError):  # the loop is closed
                write.get_loop().call_soon_threadsafe(_settle, write, self.failure)

    def _commit_one_by_one(self, file: StateFile, batch: list[_Write]) -> None:
        """What is done with leaves the batch, so that it is not done again should the next one have to wait."""
        for write in [one for one in batch if isinstance(one, tuple)]:
            try:
                file.commit([write])
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

    def _queued(self) -> Iterator[_Write]:
        while True:
            try:
                yield self._writes.get_nowait()
            except queue.Empty:
                return
