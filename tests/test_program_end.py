"""How ``echodeck serve`` ends: real signals, whatever is connected and whatever does not obey."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import VARIANTS
from tests.helpers import Client, first, until
from tests.programs import Start, make, states

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("loop", first(1, ["asyncio", "uvloop"]))
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly_whatever_is_connected(program: Start, sig: signal.Signals, loop: str) -> None:
    running = program("--loop", loop)
    clients = []
    for variant in VARIANTS.values():
        made = make(running, variant.name, max_buffer=67_108_864)
        for _ in range(1 if variant.wire.clients == "one in all" else 2):
            clients.append(await Client.to(int(str(made["port"]))))
            clients[-1].writer.transport.pause_reading()
            clients[-1].writer.write(b"x" * 10_000_000 + b"quit\n")
    browser = socket.create_connection(("127.0.0.1", running.port))
    half = socket.create_connection(("127.0.0.1", running.port))
    half.send(b"POST /servers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    running.signal(sig)
    assert await asyncio.to_thread(running.wait) == 0
    assert "Traceback" not in running.end()
    browser.close()
    half.close()
    for client in clients:
        client.writer.transport.abort()


async def test_a_second_sigint_ends_it_at_once(program: Start) -> None:
    running = program()
    made = make(running, "blocking")
    async with await Client.to(int(str(made["port"]))):
        with socket.create_connection(("127.0.0.1", running.port)) as half:
            half.send(b"POST /servers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
            running.signal(signal.SIGINT)
            running.wait_for("once more ends at once")
            running.signal(signal.SIGINT)
            code = await asyncio.to_thread(running.wait)
    assert code == 128 + signal.SIGINT


async def test_a_second_sigint_ends_even_a_loop_that_no_longer_turns(program: Start, tmp_path: Path) -> None:
    """A variant that blocks the loop cannot be stopped; the process can."""
    script = tmp_path / "stuck.py"
    script.write_text(
        "import time, sys\n"
        "import servers.step_7_asyncio as step\n"
        "async def serve(listener, options):\n"
        "    time.sleep(60)\n"
        "step.serve = serve\n"
        "from app.cli import main\n"
        "sys.argv = ['echodeck', 'serve', '--port', '0', '--state', ':memory:']\n"
        "main()\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        try:
            with suppress(httpx.ReadTimeout):
                httpx.post(f"{url}servers", json={"variant": "asyncio", "port": 0}, timeout=0.5)
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"{url}healthz", timeout=0.5)
            await until(lambda: process.send_signal(signal.SIGINT) or process.poll() is not None, "it ends")
        finally:
            process.kill()
        assert process.returncode == 128 + signal.SIGINT


async def test_readiness_says_503_while_it_is_stopping(program: Start) -> None:
    running = program()
    made = make(running, "asyncio")
    async with await Client.to(int(str(made["port"]))) as client, httpx.AsyncClient(base_url=running.url) as api:
        await client.ask(b"x", b"x")
        drain = asyncio.create_task(api.post(f"/servers/{made['name']}/stop?drain=60", timeout=20))
        await until(lambda: states(running)[str(made["name"])] == "stopping", "the drain begins")
        assert (await api.get("/readyz")).status_code == 200
        running.signal(signal.SIGTERM)
        assert (await drain).json()["state"] == "stopped"  # the drain was cut short, and its caller is told
    assert await asyncio.to_thread(running.wait) == 0


LEAVES = '''"""Leave.

A task calls exit and another interrupts itself, which must hurt nobody but this server, whoever asks for it.
"""

import asyncio
import sys


async def leave():
    sys.exit(3)


async def interrupt():
    raise KeyboardInterrupt


async def serve(listener, options):
    tasks = [asyncio.create_task(leave()), asyncio.create_task(interrupt())]
    await asyncio.sleep(0.1)
    tasks.clear()
    await asyncio.Event().wait()
'''


async def test_a_task_of_a_variant_cannot_end_the_app(program: Start, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "node_modules", "tests")))
    (copy / "servers" / "beyond_leave.py").write_text(LEAVES)
    start = f"import sys; sys.path.insert(0, {str(copy)!r}); from app.cli import main; main()"
    running = program(command=(sys.executable, "-c", start))
    made = make(running, "leave")
    await until(
        lambda: (
            {one["type"] for one in httpx.get(f"{running.url}/exceptions").json()["items"]}
            == {"SystemExit", "KeyboardInterrupt"}
        ),
        "both are seen",
    )
    assert states(running) == {made["name"]: "running"}
    running.signal(signal.SIGINT)
    assert await asyncio.to_thread(running.wait) == 0
    assert "tried to end the app" in running.end()


def with_changes(tmp_path: Path, changes: str) -> tuple[str, ...]:
    """The program, after these lines of Python."""
    script = tmp_path / "changed.py"
    script.write_text(f"{changes}\nfrom app.cli import main\nmain()\n")
    return (sys.executable, str(script))


async def test_it_ends_although_a_task_does_not(program: Start, tmp_path: Path) -> None:
    changes = (
        "import asyncio\nimport servers.step_7_asyncio as step\n"
        "async def serve(listener, options):\n"
        "    while True:\n"
        "        try: await asyncio.sleep(3600)\n"
        "        except asyncio.CancelledError: pass\n"
        "step.serve = serve"
    )
    running = program(command=with_changes(tmp_path, changes))
    make(running, "asyncio")
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0
    assert "did not stop" in running.end()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_cleanly_while_it_still_restores(program: Start, tmp_path: Path, sig: signal.Signals) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    name = make(first, "asyncio", host="localhost")["name"]
    first.process.kill()
    first.wait()
    changes = (
        "import socket, time\nfind = socket.getaddrinfo\n"
        "def slow(host, *arguments, **options):\n"
        "    if host == 'localhost' and not options.get('flags'): print('looking up', flush=True); time.sleep(60)\n"
        "    return find(host, *arguments, **options)\n"
        "socket.getaddrinfo = slow"
    )
    second = program("--state", state, command=with_changes(tmp_path, changes))
    second.wait_for("looking up")
    second.signal(sig)
    assert await asyncio.to_thread(second.wait) == 0
    assert "Traceback" not in second.end()
    assert states(program("--state", state)) == {name: "running"}
