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
"""Seconds for what begins with the start of a program on a busy machine."""


def environment(url: str, **more: str) -> dict[str, str]:
    """Of a user who has set nothing but where the app is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ECHODECK_")}
    return kept | {"ECHODECK_URL": url, "XDG_CONFIG_HOME": "/nowhere", "TERM": "xterm-256color", "TZ": "UTC"} | more


def run(url: str, *words: str | bytes, input: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:  # noqa: A002
    return subprocess.run(
        [ECHODECK, *words], env=environment(url, **more), input=input, capture_output=True, timeout=SLOW, check=False
    )


def said(url: str, *words: str, code: int = 0, **more: Any) -> str:
    """What it says on stdout, if it ends as it should."""
    done = run(url, *words, **more)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def complained(url: str, *words: str | bytes, code: int, **more: Any) -> str:
    """What it says on stderr, if it ends as it should."""
    done = run(url, *words, **more)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stderr.decode()


class Piped:
    """A program whose stdout and stderr are read as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.heard = {"stdout": b"", "stderr": b""}

    def wait_for(self, words: bytes, stream: str = "stdout", times: int = 1) -> bytes:
        """Read until it has said this so often; returns all that it said there."""
        pipe = getattr(self.process, stream)
        deadline = time.monotonic() + SLOW
        while self.heard[stream].count(words) < times:
            assert time.monotonic() < deadline, f"not said: {words!r}; but {self.heard}"
            if select.select([pipe], [], [], 0.5)[0]:
                data = os.read(pipe.fileno(), 65536)
                assert data, f"it ended without saying {words!r}; but {self.heard}"
                self.heard[stream] += data
        return self.heard[stream]

    def send(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> int:
        """Its code, once it has ended by itself."""
        for stream in ("stdout", "stderr"):
            pipe = getattr(self.process, stream)
            if not pipe.closed:
                self.heard[stream] += pipe.read()
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
    """A program in a terminal of its own; ``shown`` is every byte that it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.shown = b""
        self._descriptor = descriptor

    @property
    def text(self) -> str:
        """Without what moves the cursor and paints."""
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", self.shown.decode(errors="replace")).replace("\r\n", "\n")

    def wait_for(self, words: str) -> str:
        """Read until it shows this, from now on."""
        start = len(self.text)
        deadline = time.monotonic() + SLOW
        while words not in self.text[start:]:
            assert time.monotonic() < deadline, f"not shown: {words!r}; but {self.text[-2000:]}"
            assert self._read(), f"it ended without showing {words!r}; but {self.text[-2000:]}"
        return self.text[start:]

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def end(self) -> int:
        """Its code, once it has ended by itself."""
        deadline = time.monotonic() + SLOW
        while self._read():
            assert time.monotonic() < deadline, "it does not end"
        return self.process.wait(SLOW)

    def echoes(self) -> bool:
        """Whether the terminal is as it was: shows what is typed, a line at a time."""
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)

    def _read(self) -> bool:
        if select.select([self._descriptor], [], [], 0.2)[0]:
            try:
                self.shown += os.read(self._descriptor, 65536)
            except OSError:  # nobody has the other end any more
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
