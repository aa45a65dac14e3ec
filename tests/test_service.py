"""The app as a service of systemd: what it notifies of, and its lines in the journal (sd_notify(3), systemd.exec(5))."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.program.outlet import for_journal
from app.program.service_manager import ServiceManager
from app.settings import Settings
from tests.commanding import SLOW, environment
from tests.conftest import ECHODECK
from tests.helpers import PATIENCE
from tests.programs import Start

UNIT = Path(__file__).parent.parent / "docs" / "echodeck.service"


class Notified:
    """The service manager's socket. ``received`` has the assignments of each datagram."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.received: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.settimeout(PATIENCE)

    def next(self, *names: str) -> dict[str, str]:
        """The next datagram that assigns these."""
        while True:
            lines = self._socket.recv(4096).decode().split("\n")
            self.received.append(dict(line.split("=", 1) for line in lines))
            if self.received[-1].keys() >= set(names):
                return self.received[-1]

    def waiting(self) -> int:
        """How many datagrams have arrived since, which are thrown away."""
        count = 0
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                count += 1
        except BlockingIOError:
            pass
        self._socket.settimeout(PATIENCE)
        return count

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notified]:
    made = Notified(getattr(request, "param", str(tmp_path / "notify")))
    yield made
    made.close()


def test_a_service_manager_is_notified_from_start_to_end(program: Start, manager: Notified, tmp_path: Path) -> None:
    (tmp_path / "servers.toml").write_text("server = []")
    running = program("--config", str(tmp_path / "servers.toml"), NOTIFY_SOCKET=manager.address)
    assert manager.next("READY") == {"READY": "1", "STATUS": f"Serving at {running.url}"}
    before = time.monotonic_ns() // 1000
    running.signal(signal.SIGHUP)
    reloading = manager.next("RELOADING")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.next("READY")["STATUS"] == f"Serving at {running.url}"
    running.signal(signal.SIGTERM)
    assert manager.next("STOPPING")["STOPPING"] == "1"
    assert running.wait() == 0
    assert len(manager.received) == 4


def test_a_reload_without_a_manifest_ends_at_once(program: Start, manager: Notified) -> None:
    running = program(NOTIFY_SOCKET=manager.address)
    manager.next("READY")
    running.signal(signal.SIGHUP)
    manager.next("RELOADING")
    manager.next("READY")


def test_a_service_manager_that_is_gone_is_no_reason_to_end(program: Start, tmp_path: Path) -> None:
    running = program(NOTIFY_SOCKET=str(tmp_path / "gone"), WATCHDOG_USEC="20000")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert running.end().count("the service manager cannot be notified") == 1


@pytest.mark.parametrize("manager", [f"@echodeck-test-{os.getpid()}"], ids=["abstract"], indirect=True)
async def test_a_loop_that_is_stuck_is_noticed(manager: Notified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    made = ServiceManager()
    for _ in range(3):
        assert (await asyncio.to_thread(manager.next, "WATCHDOG")) == {"WATCHDOG": "1"}
    manager.waiting()
    time.sleep(0.5)  # the loop does nothing else meanwhile
    assert manager.waiting() == 0
    await asyncio.to_thread(manager.next, "WATCHDOG")
    made.close()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()  # children do not inherit them


async def test_a_watchdog_of_another_process_is_left_alone(manager: Notified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    made = ServiceManager()
    made.stopping()
    await asyncio.sleep(0.05)
    made.close()
    assert manager.waiting() == 1


# The journal


def test_lines_for_the_journal_have_a_priority_and_no_time() -> None:
    ours, its = os.pipe()
    stream = os.fstat(its)
    with (
        os.fdopen(ours, encoding="utf-8") as log,
        subprocess.Popen(
            [ECHODECK, "serve", "--port", "0", "--state", ":memory:"],
            env=environment("", JOURNAL_STREAM=f"{stream.st_dev}:{stream.st_ino}"),
            stdout=subprocess.PIPE,
            stderr=its,
        ) as process,
    ):
        os.close(its)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"Echodeck is at")
            process.send_signal(signal.SIGHUP)
            assert log.readline().startswith("<6>echodeck.config: there is no configuration to read again")
            process.send_signal(signal.SIGTERM)
            assert process.wait(SLOW) == 0
            assert log.read() == "<6>echodeck: stopping the servers; once more ends at once\n"
        finally:
            process.kill()


def test_a_traceback_has_its_priority_on_each_line() -> None:
    assert for_journal("it failed\nTraceback\n  ValueError", 40) == "<3>it failed\n<3>Traceback\n<3>  ValueError"


def test_lines_for_other_readers_have_their_time(program: Start) -> None:
    running = program(JOURNAL_STREAM="1:2")
    running.signal(signal.SIGTERM)
    running.wait()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    echodeck: stopping", running.end(), re.MULTILINE)


# The unit


def test_what_the_unit_names_is_there() -> None:
    lines = [line.lstrip("#") for line in UNIT.read_text().splitlines()]
    (command,) = (line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart="))
    assert shlex.split(command)[1:] == ["serve"]
    variables = {line.split("=")[1] for line in lines if line.startswith("Environment=")}
    assert {"ECHODECK_STATE"} <= variables <= {f"ECHODECK_{name.upper()}" for name in Settings.model_fields}
