"""What is started ends with who started it, whatever that one dies of."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.commanding import SLOW, environment
from tests.conftest import ECHODECK
from tests.helpers import first, until
from tests.test_demo import free_ports

TEST = """
import os, signal, time
from pathlib import Path

import pytest

def test_before(echo_server):
    assert echo_server.now().state == "running"

@pytest.mark.timeout(SECONDS, method="thread", func_only=True)
def test_dies(echodeck_app, echo_servers):
    server = echo_servers("blocking")
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    Path("child.part").write_text(" ".join([echodeck_app.url, *children]))
    os.rename("child.part", "child")
    WAY
"""

WAYS = {
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", ()),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", ()),
    "os._exit": ("os._exit(0)", ()),
    "a timeout's thread": ("time.sleep(60)", ()),
    "a worker's crash": ("os.kill(os.getpid(), signal.SIGSEGV)", ("-n", "1", "--max-worker-restart=0")),
    "a fork that lives on": ("os.fork() and os._exit(0); time.sleep(5); os._exit(0)", ()),
}


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def pytest_run(folder: Path, way: str, *options: str, seconds: float = 60) -> subprocess.Popen[bytes]:
    (folder / "test_it.py").write_text(TEST.replace("WAY", way).replace("SECONDS", str(seconds)))
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


async def child_of(folder: Path) -> tuple[str, int]:
    await until((folder / "child").exists, "the test has begun", SLOW)
    url, *children = (folder / "child").read_text().split()
    (pid,) = map(int, children)
    assert is_there(pid)
    return url, pid


@pytest.mark.parametrize("way", first(2, WAYS))
async def test_the_fixtures_app_ends_with_pytest(tmp_path: Path, way: str) -> None:
    code, options = WAYS[way]
    process = pytest_run(tmp_path, code, *options, seconds=0.5 if "timeout" in way else 60)
    try:
        await until((tmp_path / "child").exists, "the test has begun", SLOW)
        pid = int((tmp_path / "child").read_text().split()[1])
        await until(lambda: not is_there(pid), "the app ends")
    finally:
        process.kill()
        process.communicate()


async def test_ctrl_c_on_the_group_leaves_an_orderly_end(tmp_path: Path) -> None:
    process = pytest_run(tmp_path, "time.sleep(60)")
    _, pid = await child_of(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = await asyncio.to_thread(process.communicate, timeout=SLOW)
    assert process.returncode == 2, output
    assert not is_there(pid)
    assert output.count(b"\n") < 30
    assert b"Unreachable" not in output


async def test_an_app_that_has_gone_makes_no_teardown_fail(tmp_path: Path) -> None:
    process = pytest_run(tmp_path, "[os.kill(int(one), signal.SIGKILL) for one in children]")
    output, _ = await asyncio.to_thread(process.communicate, timeout=SLOW)
    assert process.returncode == 0, output


RUNNING = """
import os, sys, time
sys.path.insert(0, {root!r})
import echodeck
from pathlib import Path
with echodeck.running() as deck:
    children = Path(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children").read_text().split()
    print(*children, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
async def test_an_app_of_a_script_ends_with_it(sig: signal.Signals) -> None:
    script = RUNNING.format(root=str(Path(__file__).parent.parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(sig)
        await until(lambda: not is_there(pid), "the app ends")


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGQUIT])
async def test_the_demos_app_ends_with_it(sig: signal.Signals) -> None:
    port = free_ports()
    with subprocess.Popen(
        [ECHODECK, "demo", "--port", str(port)], env=environment(""), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert b"page is at" in process.stdout.readline()
        (pid,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        process.send_signal(sig)
        await until(lambda: not is_there(pid), "the app ends")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_a_process_that_has_ended_already_is_named() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    done = subprocess.run(
        [ECHODECK, "serve", "--port", "0", "--state", ":memory:", "--ends-with", str(gone.pid)],
        capture_output=True,
        text=True,
        timeout=SLOW,
        check=False,
    )
    assert (done.returncode, f"process {gone.pid}" in done.stderr) == (1, True)


STUCK = (
    "import time\nimport servers.step_7_asyncio as step\n"
    "async def serve(listener, options):\n"
    "    time.sleep(60)\n"
    "step.serve = serve\n"
    "import app.program.starter as starter\nstarter.SECONDS_TO_END = 1.0\n"
    "from app.cli import main\nmain()\n"
)


async def test_even_a_loop_that_no_longer_turns_ends_with_it(tmp_path: Path) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    with subprocess.Popen(["sleep", "60"]) as other:
        command = [sys.executable, script, "serve", "--port", "0", "--state", ":memory:", "--ends-with", str(other.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            with suppress(httpx.ReadTimeout):
                httpx.post(f"{url}servers", json={"variant": "asyncio", "port": 0}, timeout=0.5)
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"{url}healthz", timeout=0.5)
            other.kill()
            await until(lambda: process.poll() is not None, "it ends")
