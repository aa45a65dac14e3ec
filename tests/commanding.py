"""The program as a person or a script runs it: with pipes, or in a terminal of 80 columns and 24 rows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.conftest import ECHODECK
from tests.helpers import PATIENCE

SLOW = PATIENCE * 3
"""Seconds for a wait that includes the start of a program on a busy machine."""


def environment(url: str, **more: str) -> dict[str, str]:
    """The environment of a user with nothing set but the app's address."""
    return (
        os.environ | {"ECHODECK_URL": url, "XDG_CONFIG_HOME": "/nowhere", "TERM": "xterm-256color", "TZ": "UTC"} | more
    )


def run(url: str, *words: str | bytes, input: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:  # noqa: A002
    return subprocess.run(
        [ECHODECK, *words], env=environment(url, **more), input=input, capture_output=True, timeout=SLOW, check=False
    )


def output(url: str, *words: str, code: int = 0, **more: Any) -> str:
    """The program's stdout; its exit code must be ``code``."""
    done = run(url, *words, **more)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def error_output(url: str, *words: str | bytes, code: int, **more: Any) -> str:
    """The program's stderr; its exit code must be ``code``."""
    done = run(url, *words, **more)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stderr.decode()


class Piped:
    """A program with pipes; ``received`` is what was read of each stream."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.received = {"stdout": b"", "stderr": b""}

    def wait_for(self, words: bytes, stream: str = "stdout", times: int = 1) -> bytes:
        """Read until the words are there n times; returns everything that was read of this stream."""
        pipe = getattr(self.process, stream)
        deadline = time.monotonic() + SLOW
        while self.received[stream].count(words) < times:
            assert time.monotonic() < deadline, f"not printed: {words!r}; but {self.received}"
            if select.select([pipe], [], [], 0.5)[0]:
                data = os.read(pipe.fileno(), 65536)
                assert data, f"it ended without printing {words!r}; but {self.received}"
                self.received[stream] += data
        return self.received[stream]

    def send(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        for stream in ("stdout", "stderr"):
            pipe = getattr(self.process, stream)
            if not pipe.closed:
                self.received[stream] += pipe.read()
        return self.process.wait(SLOW)


@contextmanager
def piped(url: str, *words: str, **more: str) -> Iterator[Piped]:
    with subprocess.Popen(
        [ECHODECK, *words],
        env=environment(url, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield Piped(process)
        finally:
            process.kill()


class Terminal:
    """A program in a terminal of its own; ``written`` is every byte that it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.written = b""
        self._seen = 0
        self._descriptor = descriptor

    @property
    def text(self) -> str:
        """Without the escape sequences for cursor and colours."""
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", self.written.decode(errors="replace")).replace("\r\n", "\n")

    def wait_for(self, words: str) -> str:
        """Read until the words appear after the words waited for last, which may be read already; returns what is new."""
        start = self._seen
        deadline = time.monotonic() + SLOW
        while (found := self.text.find(words, start)) < 0:
            assert time.monotonic() < deadline, f"not shown: {words!r}; but {self.text[-2000:]}"
            assert self._read(), f"it ended without showing {words!r}; but {self.text[-2000:]}"
        self._seen = found + len(words)
        return self.text[start:]

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        deadline = time.monotonic() + SLOW
        while self._read():
            assert time.monotonic() < deadline, "it does not end"
        return self.process.wait(SLOW)

    def echoes(self) -> bool:
        """Whether the terminal is restored: it echoes what is typed."""
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)

    def _read(self) -> bool:
        if select.select([self._descriptor], [], [], 0.2)[0]:
            try:
                self.written += os.read(self._descriptor, 65536)
            except OSError:  # the other end is closed
                return False
        return True


@contextmanager
def terminal(url: str, *words: str, columns: int = 80, **more: str) -> Iterator[Terminal]:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = environment(url, **more)
    env.pop("COLUMNS", None)
    with subprocess.Popen(
        ["setsid", "--ctty", ECHODECK, *words], env=env, stdin=its, stdout=its, stderr=its
    ) as process:
        os.close(its)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            with suppress(OSError):
                os.close(ours)
