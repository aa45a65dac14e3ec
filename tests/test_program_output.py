"""What the program writes, to readers that do not read: nothing waits for them, and nothing ends by them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kernel.ports import free_ports
from app.program import outlet as module
from app.program.outlet import Outlet
from tests.commanding import environment
from tests.conftest import ECHODECK
from tests.helpers import first, until
from tests.programs import Start, boom, make, states


@contextmanager
def serving(port: int, state: Path, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [ECHODECK, "serve", "--port", str(port), "--state", str(state)],
        env=environment("") | {"ECHODECK_URL": ""},
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def answers(url: str, path: str = "/healthz") -> bool:
    async with httpx.AsyncClient(base_url=url) as api:
        try:
            return (await api.get(path, timeout=2)).status_code == 200
        except httpx.TransportError:
            return False


async def until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    while not await answers(url):
        assert process.poll() is None, f"it ended with {process.returncode}"
        await asyncio.sleep(0.05)


def a_line_for_each(times: int) -> str:
    """Python in front of the program: a variant that logs this many lines of a thousand letters, when it is asked to."""
    return (
        "import asyncio, logging\nimport servers.step_7_asyncio as step\n"
        "async def serve(listener, options):\n"
        f"    for number in range({times}):\n"
        "        logging.getLogger('servers').error('%06d %s', number, 'x' * 1000)\n"
        "        if number % 100 == 99: await asyncio.sleep(0)\n"
        "    await asyncio.Event().wait()\n"
        "step.serve = serve\n"
    )


async def test_a_pipe_that_nobody_reads_stops_nothing(program: Start, tmp_path: Path) -> None:
    script = tmp_path / "loud.py"
    script.write_text(a_line_for_each(3000) + "from app.cli import main\nmain()\n")
    running = program(command=(sys.executable, str(script)))
    loud = make(running, "asyncio")
    made = make(running, "threads")
    assert states(running) == {loud["name"]: "running", made["name"]: "running"}
    for _ in range(3):
        await boom(made["port"])
    assert len(httpx.get(f"{running.url}/exceptions").json()["items"]) == 1
    metrics = httpx.get(f"{running.url}/metrics").text
    dropped = next(line for line in metrics.splitlines() if line.startswith("echodeck_log_dropped_lines_total"))
    assert float(dropped.split()[-1]) > 1000
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0


async def test_what_was_dropped_is_said_where_it_is_missing() -> None:
    reads, writes = os.pipe()
    outlet = Outlet(writes, lambda missing: f"{missing} missing\n")
    for number in range(3000):
        outlet.write(b"%04d %s\n" % (number, b"x" * 1000))
    assert outlet.dropped > 1000
    dropped = outlet.dropped
    with os.fdopen(reads, "rb") as reader:
        shown = 0
        while not (line := reader.readline()).endswith(b"missing\n"):
            assert line.startswith(b"%04d " % shown)
            shown += 1
        assert line == b"%d missing\n" % dropped
        assert shown + dropped == 3000
        outlet.write(b"and on\n")
        assert reader.readline() == b"and on\n"
        assert outlet.dropped == dropped
        os.close(writes)


async def test_a_full_disk_costs_lines_and_is_said_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    write = os.write

    def written(descriptor: int, data: bytes) -> int:
        if full and descriptor == there:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(module, "SECONDS_TO_DRAIN", 0.01)
    monkeypatch.setattr(os, "write", written)
    complaints: list[OSError] = []
    there = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    outlet = Outlet(there, lambda missing: f"{missing} missing\n", complaints.append)
    outlet.write(b"one\ntwo\n")
    await until(lambda: outlet.dropped == 2, "it fails")
    outlet.write(b"three\n")
    full = False
    await until(lambda: (tmp_path / "log").read_text() == "3 missing\n", "it is said")
    outlet.write(b"four\n")
    await until(lambda: (tmp_path / "log").read_text() == "3 missing\nfour\n", "it goes on")
    assert [error.errno for error in complaints] == [28]


async def test_a_pipe_that_does_not_block_gets_all(tmp_path: Path) -> None:
    """Node.js and others give their children such pipes."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    outlet = Outlet(writes)
    for number in range(500):
        outlet.write(b"%04d %s\n" % (number, b"x" * 1000))
    with os.fdopen(reads, "rb") as reader:
        assert [int(reader.readline()[:4]) for _ in range(500)] == list(range(500))
    assert outlet.dropped == 0


@pytest.mark.parametrize("streams", first(1, ["both", "stdout", "stderr"]))
@pytest.mark.parametrize("kind", ["closed pipe", "full disk"])
async def test_it_serves_without_anywhere_to_write(tmp_path: Path, streams: str, kind: str) -> None:
    (port,) = free_ports(1)
    reads, writes = os.pipe()
    os.close(reads)
    full = os.open("/dev/full", os.O_WRONLY)
    there = writes if kind == "closed pipe" else full
    given = {name: there for name in ("stdout", "stderr") if streams in (name, "both")}
    with serving(port, tmp_path / "state", **given) as process:
        await until_it_answers(f"http://127.0.0.1:{port}", process)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as api:
            made = (await api.post("/servers", json={"variant": "asyncio", "port": 0})).json()
            await boom(made["port"])
            assert len((await api.get("/exceptions")).json()["items"]) == 1
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
    os.close(writes)
    os.close(full)


async def test_where_the_address_cannot_be_written_the_log_says_so(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    full = os.open("/dev/full", os.O_WRONLY)
    with serving(port, tmp_path / "state", stdout=full, stderr=subprocess.PIPE) as process:
        await until_it_answers(f"http://127.0.0.1:{port}", process)
        process.send_signal(signal.SIGTERM)
        assert b"standard output cannot be written: No space left on device" in process.communicate()[1]
    os.close(full)
