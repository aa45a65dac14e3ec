"""``serve --config``: the servers are as a file declares them, and SIGHUP has it read again."""

from __future__ import annotations

import asyncio
import contextvars
import fcntl
import os
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.declaring.upkeep import Upkeep
from app.kernel.ports import free_ports
from app.loop.ownership import OWNER
from app.program import sighup
from app.supervising.supervisor import Supervisor
from tests.conftest import ECHODECK, Program
from tests.declaring import echodeck, entry, held_port, servers, states
from tests.helpers import PATIENCE, Client, refuses, until

Start = Callable[..., Program]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "echodeck.toml"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_has_the_file_read_again(program: Start, file: Path, loop: str) -> None:
    one, two, three = free_ports(3)
    file.write_text(entry("asyncio", one, name="a") + entry("blocking", two, name="b"))
    running = program("--config", str(file), "--loop", loop)
    running.wait_for("4 steps done")
    assert states(running) == {"a": "running", "b": "running"}
    made = httpx.post(f"{running.url}/servers", json={"variant": "threads", "port": 0}).json()
    async with await Client.to(one) as client:
        file.write_text(entry("asyncio", one, name="a", idle_timeout=60) + entry("selectors", three, name="c"))
        running.signal(signal.SIGHUP)
        running.wait_for("4 steps done")
        await client.ask(b"x", b"x")
    assert states(running) == {"a": "running", "c": "running", made["name"]: "running"}
    assert servers(running)["a"]["spec"]["idle_timeout"] == 60
    assert await refuses(two)
    httpx.post(f"{running.url}/servers/c/stop")
    running.signal(signal.SIGHUP)
    running.wait_for("started c\n")
    assert states(running)["c"] == "running"
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0


async def fed(pipe: Path, text: str) -> None:
    """Give it to whoever reads the pipe, once somebody does."""
    found: list[int] = []

    def opened() -> bool:
        try:
            found.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads
            return False
        return True

    await until(opened, "it is read")
    os.write(found[0], text.encode())
    os.close(found[0])


async def test_a_signal_during_a_reading_is_followed_by_another_one(supervisor: Supervisor, file: Path) -> None:
    """A pipe is read for as long as one likes."""
    os.mkfifo(file)
    upkeep = Upkeep(supervisor, file)
    upkeep.look_again()
    for _ in range(3):
        await asyncio.sleep(0)
        upkeep.look_again()
    await fed(file, entry("asyncio", free_ports(1)[0], name="first"))
    await until(lambda: supervisor.servers(), "the first reading is followed")
    await fed(file, entry("asyncio", free_ports(1)[0], name="second"))
    await until(lambda: [one.name for one in supervisor.servers()] == ["second"], "the second one too")
    await until(lambda: "configuration" not in {task.get_name() for task in asyncio.all_tasks()}, "there is no third")
    await upkeep.close()


async def test_the_end_does_not_wait_for_a_reading(supervisor: Supervisor, file: Path) -> None:
    os.mkfifo(file)
    upkeep = Upkeep(supervisor, file)
    upkeep.look_again()
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await upkeep.close()
    os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))  # the thread ends


async def test_many_signals_at_once_end_in_what_the_file_says_last(program: Start, file: Path) -> None:
    one, two = free_ports(2)
    file.write_text(entry("blocking", one, name="a"))
    running = program("--config", str(file))
    for count in range(30):
        file.with_suffix(".new").write_text(entry("blocking", two if count % 2 else one, name="a", backlog=count + 1))
        file.with_suffix(".new").rename(file)
        running.signal(signal.SIGHUP)
    await until(lambda: servers(running)["a"]["spec"]["backlog"] == 30, "the last one is followed")
    await until(lambda: states(running) == {"a": "running"}, "it runs again")
    assert servers(running)["a"]["port"] == two
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0
    assert "Traceback" not in running.end()


async def test_what_the_file_says_holds_over_what_was_kept_and_the_rest_stays(
    program: Start, file: Path, tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    one, two = free_ports(2)
    file.write_text(entry("asyncio", one, name="a") + entry("asyncio", two, name="gone", start=False))
    first = program("--config", str(file), "--state", state)
    made = httpx.post(f"{first.url}/servers", json={"variant": "threads", "port": 0}).json()
    httpx.post(f"{first.url}/servers/a/stop")
    httpx.patch(f"{first.url}/servers/a", json={"backlog": 3})
    first.signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait) == 0
    file.write_text(entry("asyncio", one, name="a"))
    second = program("--state", state, ECHODECK_CONFIG=str(file))
    assert states(second) == {"a": "running", "gone": "stopped", made["name"]: "running"}
    assert servers(second)["a"]["spec"]["backlog"] == 128


def test_with_a_file_that_makes_no_sense_it_does_not_start(program: Start, file: Path, tmp_path: Path) -> None:
    file.write_text(entry("asyncio", 70000) + entry("nothing", 1))
    for options in (["--config", file], ["--config", tmp_path / "none"], ["--config", tmp_path]):
        done = echodeck("serve", "--port", "0", "--state", tmp_path / "state", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert all(line.startswith(f"echodeck: {options[1]}:") for line in done.stderr.splitlines())
    assert not (tmp_path / "state").exists()


async def test_a_file_that_no_longer_makes_sense_changes_nothing(program: Start, file: Path) -> None:
    (port,) = free_ports(1)
    file.write_text(entry("asyncio", port, name="a"))
    running = program("--config", str(file))
    for text, said in [
        (entry("asyncio", 70000), "server 1 (asyncio-70000): port = 70000"),
        ("", "declares no server"),
        ("[[server", "is no TOML"),
    ]:
        file.write_text(text)
        running.signal(signal.SIGHUP)
        running.wait_for(said)
        running.wait_for("nothing was changed")
        assert states(running) == {"a": "running"}
    file.unlink()
    running.signal(signal.SIGHUP)
    running.wait_for("cannot be read: No such file")
    file.write_text("server = []")
    running.signal(signal.SIGHUP)
    running.wait_for("removed a")
    assert "Traceback" not in running.end()


async def test_a_port_that_another_program_has_keeps_nobody_else_from_running(program: Start, file: Path) -> None:
    (port,) = free_ports(1)
    with held_port() as taken:
        file.write_text(entry("asyncio", taken, name="a") + entry("asyncio", port, name="b"))
        running = program("--config", str(file))
        await until(lambda: states(running) == {"a": "backoff", "b": "running"}, "one waits")
        journal = httpx.get(f"{running.url}/journal", params={"server": "a"}).json()["items"]
        assert f"waits until it can listen: 127.0.0.1:{taken} is taken by a program outside" in str(journal)
    await until(lambda: states(running) == {"a": "running", "b": "running"}, "it has its port")


def test_what_may_not_be_is_in_the_journal(program: Start, file: Path) -> None:
    file.write_text(entry("asyncio", 80, name="a"))
    running = program("--config", str(file))
    assert states(running) == {}
    journal = httpx.get(f"{running.url}/journal").json()["items"]
    assert "cannot be made as declared: Port 80 is outside the allowed range" in str(journal)


# SIGHUP


async def test_without_a_file_the_signal_does_nothing(program: Start) -> None:
    running = program()
    running.signal(signal.SIGHUP)
    running.wait_for("no configuration")
    assert httpx.get(f"{running.url}/healthz").status_code == 200
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0


async def test_the_work_belongs_to_no_server_that_the_signal_interrupts() -> None:
    owners, ended = [], []

    class Busy:
        name = "busy"

    def interrupted() -> None:
        OWNER.set(Busy())  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGHUP)

    with sighup.handled(lambda: owners.append(OWNER.get(None)), lambda: ended.append(1)):
        contextvars.copy_context().run(interrupted)
        await until(lambda: owners, "it is heard")
    assert (owners, ended) == ([None], [])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@contextmanager
def in_a_terminal(*options: str, ignored: bool = False) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program as the leader of a session in a terminal; closing the descriptor closes the terminal's window."""
    window, terminal = os.openpty()

    def lead() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    command = [ECHODECK, "serve", "--port", "0", "--state", ":memory:", *options]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    process = subprocess.Popen(command, **streams, start_new_session=True, preexec_fn=lead)  # type: ignore[call-overload]
    try:
        os.close(terminal)
        said = b""
        while b"Ctrl+C" not in said:
            said += os.read(window, 1000)
        yield process, window
    finally:
        process.kill()
        process.wait()


async def test_closing_its_terminal_ends_it() -> None:
    with in_a_terminal() as (process, window):
        os.close(window)
        assert await asyncio.to_thread(process.wait, 10) == 0


async def test_under_nohup_closing_its_terminal_does_not_end_it(file: Path) -> None:
    (port,) = free_ports(1)
    file.write_text("server = []")
    with in_a_terminal("--config", str(file), ignored=True) as (process, window):
        file.write_text(entry("asyncio", port))
        os.close(window)
        while await refuses(port):
            await asyncio.sleep(0.01)
        assert process.poll() is None
        process.terminate()
        assert await asyncio.to_thread(process.wait, 10) == 0
