"""The program of a tree of sources: this one's, or that of a revision beside it. Both run on this environment's packages."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.kernel.ports import free_ports

POLL = 0.005
"""Seconds between two requests to a program that is starting: 2 % of a processor."""

PATIENCE = 60.0


class NotMeasured(Exception):
    """The tree's program has nothing of the kind, or has refused; the message says which."""


@contextmanager
def ready(command: Sequence[str | Path], port: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The program from its first 200 to ``GET /readyz`` on."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command} is not ready")
            time.sleep(POLL)
        yield process
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:  # nothing listens yet
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class App:
    pid: int
    url: str

    @property
    def processor_seconds(self) -> float:
        """Of all its threads, also those that have ended: its processor clock, as clock_getcpuclockid(3) has it."""
        return time.clock_gettime(~self.pid << 3 | 2)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False) as api:
            yield api


@dataclass(frozen=True)
class Tree:
    path: Path

    @property
    def environment(self) -> dict[str, str]:
        """In which its modules are imported before those that are installed."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECHODECK_", "PYTEST_"))}
        return kept | {"PYTHONPATH": str(self.path)}

    def command(self, *arguments: str) -> list[str]:
        """Its ``echodeck``, as its pyproject.toml declares it."""
        project = tomllib.loads((self.path / "pyproject.toml").read_text())["project"]
        module, function = project["scripts"]["echodeck"].split(":")
        code = f"import sys; sys.argv[0] = 'echodeck'; from {module} import {function}; sys.exit({function}())"
        return [sys.executable, "-P", "-c", code, *arguments]  # -P: not what is in the current folder

    @contextmanager
    def app(self) -> Iterator[App]:
        port = free_ports(1)[0]
        command = self.command("serve", "--port", str(port), "--state", ":memory:", "--quiet")
        with ready(command, port, self.environment) as process:
            yield App(process.pid, f"http://127.0.0.1:{port}")
