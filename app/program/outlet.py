"""Standard output and standard error that never block and never fail, whoever reads them or does not.

A pipe that nobody reads would stop the loop at the first line that it has no room for; a closed one or a full disk
would raise in whatever logs. So what is written is queued, and written by a thread; what has no room, or cannot be
written, is dropped and counted.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

log = logging.getLogger("echodeck.outlet")

MOST = 1_048_576
"""Bytes that wait to be written."""

SECONDS_TO_DRAIN = 0.5
"""For what still waits at the program's end."""


JOURNAL_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""By level, that of syslog(3)."""


def is_journal(descriptor: int) -> bool:
    """Whether it is the stream that systemd has connected to its journal, which records the time of each line and reads
    its priority from ``<N>`` before it (systemd.exec(5), sd-daemon(3))."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def for_journal(text: str, level: int) -> str:
    """The text with its priority before each line."""
    prefix = f"<{JOURNAL_PRIORITIES.get(level, 6)}>"
    return prefix + text.replace("\n", f"\n{prefix}")


class Outlet(io.RawIOBase):
    """The binary end of one. ``dropped`` counts lines.

    ``notice`` makes of their number what is said where they are missing, once that can be written. ``complain`` is
    called, on another thread, with the first error.
    """

    def __init__(
        self,
        descriptor: int,
        notice: Callable[[int], str] | None = None,
        complain: Callable[[OSError], object] | None = None,
    ) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._notice = notice
        self._complain = complain
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._missing = 0
        self._writing = False
        self._changed = threading.Condition(threading.RLock())  # a signal's handler may log while it is held
        threading.Thread(target=self._write_all, name=f"outlet {descriptor}", daemon=True).start()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any, /) -> int:
        text = bytes(data)
        with self._changed:
            # Once something was dropped, what follows is too, until all before it is written: so lines stay in order.
            if self._missing or self._size + len(text) > MOST:
                self._drop(text)
            else:
                self._waiting.append(text)
                self._size += len(text)
            self._changed.notify_all()
        return len(text)

    def drain(self) -> None:
        """Wait until all is written, for ``SECONDS_TO_DRAIN`` at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._writing, SECONDS_TO_DRAIN)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._missing)
                text = self._waiting.popleft() if self._waiting else b""
                self._size -= len(text)
                self._writing = True
                missing = 0
                if not text:
                    missing, self._missing = self._missing, 0
            if missing:
                self._say_what_is_missing(missing)
            else:
                self._write_or_drop(text)

    def _say_what_is_missing(self, missing: int) -> None:
        try:
            if self._notice:
                self._write_out(self._notice(missing).encode())
        except OSError:
            with self._changed:
                self._missing += missing
            time.sleep(SECONDS_TO_DRAIN)  # nothing waits meanwhile: it would be dropped

    def _write_or_drop(self, text: bytes) -> None:
        try:
            self._write_out(text)
        except OSError as error:
            with self._changed:
                self._drop(text)
            complain, self._complain = self._complain, None
            if complain:
                complain(error)

    def _drop(self, text: bytes) -> None:
        lines = text.count(b"\n") or 1
        self.dropped += lines
        self._missing += lines

    def _write_out(self, text: bytes) -> None:
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:  # who started us shares a pipe with us that does not block
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()


class Outlets:
    """Standard output and standard error."""

    def __init__(self) -> None:
        self._out = Outlet(1, complain=_complain)
        self._err = Outlet(2, _log_line)
        self.stdout = _text(self._out, sys.stdout)
        self.stderr = _text(self._err, sys.stderr)

    @property
    def dropped(self) -> int:
        """Lines until now."""
        return self._out.dropped + self._err.dropped

    def drain(self) -> None:
        """Wait a moment for what is yet to be written."""
        for text, outlet in ((self.stdout, self._out), (self.stderr, self._err)):
            text.flush()
            outlet.drain()


@contextmanager
def unblocked() -> Iterator[Outlets]:
    """Within this context ``sys.stdout`` and ``sys.stderr`` never block."""
    outlets = Outlets()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = outlets.stdout, outlets.stderr
    try:
        yield outlets
    finally:
        outlets.drain()
        sys.stdout, sys.stderr = before


def _complain(error: OSError) -> None:
    log.warning("standard output cannot be written: %s", error.strerror)


def _log_line(missing: int) -> str:
    lines = "1 line" if missing == 1 else f"{missing} lines"
    text = f"{log.name}: {lines} could not be written here: dropped"
    if is_journal(2):
        return for_journal(text, logging.WARNING) + "\n"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 WARNING {text}\n"


def _text(outlet: Outlet, like: TextIO) -> TextIO:
    # Any binary stream will do, whatever the type checker's declarations say of it.
    return io.TextIOWrapper(outlet, like.encoding, "backslashreplace", line_buffering=True)  # type: ignore[type-var]
