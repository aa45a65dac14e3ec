"""``echodeck serve`` as a user starts and ends it: a real process, real signals, real clients."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.addresses import format_address
from tests.conftest import ECHODECK, VARIANTS, Program
from tests.helpers import PATIENCE, Client, refuses, until

Start = Callable[..., Program]

ROOT = Path(__file__).parent.parent


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ECHODECK, *arguments], capture_output=True, text=True, timeout=20, env=os.environ | environment, check=False
    )


def make(program: Program, variant: str, **fields: object) -> dict[str, object]:
    response = httpx.post(f"{program.url}/servers", json={"variant": variant, "port": 0, **fields})
    assert response.status_code == 201, response.text
    made: dict[str, object] = response.json()
    return made


def states(program: Program) -> dict[str, str]:
    return {item["name"]: item["state"] for item in httpx.get(f"{program.url}/servers").json()["items"]}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_every_variant_answers_on_either_loop(program: Start, loop: str) -> None:
    running = program("--loop", loop)
    for variant in VARIANTS.values():
        port = make(running, variant.name)["port"]
        async with await Client.to(int(str(port))) as client:
            if variant.wire.answers == "nothing":
                assert await client.rest() == b""
            else:
                await client.ask(b"hi\nquit\n", variant.wire.prefix + b"hi\nquit\n")
    ended = {name.rpartition("-")[0] for name, state in states(running).items() if state == "exited"}
    assert ended == {variant.name for variant in VARIANTS.values() if variant.wire.clients == "one in all"}
    for name in states(running):
        assert httpx.post(f"{running.url}/servers/{name}/restart").json()["state"] == "running"
        assert httpx.delete(f"{running.url}/servers/{name}").status_code == 204
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("variant", ["asyncio-streams", "asyncio-tuned"])
async def test_those_with_a_machinery_of_their_own_are_watched_on_either_loop(
    program: Start, variant: str, loop: str
) -> None:
    running = program("--loop", loop)
    made = make(running, variant, max_connections=3, idle_timeout=300)
    port = int(str(made["port"]))
    async with httpx.AsyncClient(base_url=running.url) as http:

        async def is_so(**wanted: object) -> dict[str, object]:
            """The server, once its connections are these."""
            found: dict[str, object] = {}
            async with asyncio.timeout(PATIENCE):
                while not wanted.items() <= {**found, **found.get("connections", {})}.items():  # type: ignore[dict-item]
                    found = (await http.get(f"/servers/{made['name']}")).json()
            return found

        clients = [await Client.to(port) for _ in range(3)]
        for client in clients:
            await client.ask(b"hello", b"hello")
        async with await Client.to(port) as too_many:
            assert await too_many.rest() == b""
        await is_so(open=3, total=3, turned_away=1, bytes_in=15, bytes_out=15)
        rows = (await http.get("/connections")).json()["items"]
        assert {(row["state"], row["bytes_in"], row["bytes_out"]) for row in rows} == {("open", 5, 5)}
        assert (await http.delete(f"/connections/{rows[0]['id']}")).status_code == 204
        assert await clients[0].rest() == b""
        await clients[1].send(b"boom\n")
        assert await clients[1].rest() == b""
        (error,) = (await http.get("/exceptions")).json()["items"]
        assert (error["connection"], error["input"]) == (rows[1]["id"], r"b'boom\n'")
        await clients[2].reset()
        before = (await is_so(open=0))["bytes_in"]
        leaver = await Client.to(port)
        await leaver.ask(b"bye", b"bye")
        await leaver.half_close()
        assert await leaver.rest() == b""
        await is_so(open=0, total=4, exceptions=2, bytes_in=int(str(before)) + 3)  # the last of them, too
        idler = await Client.to(port)
        await is_so(open=1)
        await http.patch(f"/servers/{made['name']}", json={"idle_timeout": 0.1})
        assert await idler.rest() == b""
        for client in (*clients, leaver, idler):
            await client.close()
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert "was never" not in running.end()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
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
    began = time.monotonic()
    running.signal(sig)
    code = await asyncio.to_thread(running.wait)
    assert time.monotonic() - began < 5
    assert code == 0
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
            began = time.monotonic()
            code = await asyncio.to_thread(running.wait)
            assert time.monotonic() - began < 1
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


async def test_what_should_run_runs_again_after_a_kill(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "deep" / "state.sqlite3")
    first = program("--state", state)
    runs, rests = make(first, "asyncio", backlog=7), make(first, "blocking")
    gone, once = make(first, "selectors"), make(first, "accept-once")
    httpx.post(f"{first.url}/servers/{rests['name']}/stop")
    httpx.delete(f"{first.url}/servers/{gone['name']}")
    async with await Client.to(int(str(once["port"]))) as client:
        await client.rest()
    await until(lambda: states(first)[str(once["name"])] == "exited", "its only client is served")
    first.process.kill()
    await asyncio.to_thread(first.wait)
    second = program("--state", state)
    assert states(second) == {runs["name"]: "running", rests["name"]: "stopped", once["name"]: "stopped"}
    assert httpx.get(f"{second.url}/servers/{runs['name']}").json()["spec"] == runs["spec"]
    async with await Client.to(int(str(runs["port"]))) as client:
        await client.ask(b"x", b"x")


async def boom(port: object, times: int = 1) -> None:
    for _ in range(times):
        async with await Client.to(int(str(port))) as client:
            await client.send(b"boom\n")
            await client.rest()


async def test_an_exception_that_was_shown_is_there_after_a_kill(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    made = make(first, "asyncio")
    await boom(made["port"])
    shown = httpx.get(f"{first.url}/exceptions").json()["items"]
    told = httpx.get(f"{first.url}/journal").json()["items"]
    first.process.kill()
    assert [one["input"] for one in shown] == [r"b'boom\n'"]
    await asyncio.to_thread(first.wait)
    second = program("--state", state)
    assert httpx.get(f"{second.url}/exceptions").json()["items"] == shown
    assert httpx.get(f"{second.url}/journal").json()["items"][-len(told) :] == told
    assert httpx.get(f"{second.url}/servers/{made['name']}").json()["exceptions"] == 1
    async with await Client.to(int(str(made["port"]))) as client:
        await client.ask(b"x", b"x")
        (row,) = httpx.get(f"{second.url}/connections").json()["items"]
    assert row["id"] not in {one["connection"] for one in shown}  # ids of two lives are not mistaken for each other


async def test_nothing_that_was_shown_is_lost_by_a_kill_in_the_midst_of_a_storm(program: Start, tmp_path: Path) -> None:
    state, shown = str(tmp_path / "state"), 0
    for _ in range(4):
        running = program("--state", state)
        if not states(running):
            port = make(running, "asyncio", port=0)["port"]
        async with httpx.AsyncClient(base_url=running.url) as api:
            counts = [one["count"] for one in (await api.get("/exceptions?limit=1000")).json()["items"]]
            assert sum(counts) >= shown
            storm = asyncio.gather(*(boom(port, 60) for _ in range(5)), return_exceptions=True)
            for _ in range(10):
                await asyncio.sleep(0.02)
                shown = sum(one["count"] for one in (await api.get("/exceptions?limit=1000")).json()["items"])
            running.process.kill()
            await storm
        await asyncio.to_thread(running.wait)
    assert shown > 50


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


async def test_a_clean_end_forgets_nothing_either(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    made = make(first, "asyncio")
    first.signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait) == 0
    assert await refuses(int(str(made["port"])))
    assert states(program("--state", state)) == {made["name"]: "running"}


async def test_two_apps_do_not_share_a_state(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    program("--state", state)
    second = run("serve", "--port", "0", "--state", state)
    assert (second.returncode, "in use by another echodeck" in second.stderr) == (1, True)


async def test_a_damaged_state_is_set_aside(program: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"this is no database, whatever its name says" * 100)
    running = program("--state", str(state))
    assert states(running) == {}
    (aside,) = tmp_path.glob("state.unreadable-*")
    assert aside.read_bytes().startswith(b"this is no database")
    make(running, "asyncio")
    assert "cannot be read" in running.end()


def test_a_page_port_that_is_taken(program: Start) -> None:
    running = program()
    second = run("serve", "--port", str(running.port), "--state", ":memory:")
    assert (second.returncode, "Address already in use" in second.stderr, "Traceback" in second.stderr) == (
        1,
        True,
        False,
    )


def test_the_pages_own_port_is_named_as_its_holder(program: Start) -> None:
    running = program()
    response = httpx.post(f"{running.url}/servers", json={"variant": "asyncio", "port": running.port})
    assert (response.status_code, "taken by this page itself" in response.json()["detail"]) == (409, True)


def test_the_allowed_ports_bind_the_kernel_too(program: Start) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = program("--ports", f"{port}-{port}")
    assert make(running, "asyncio")["port"] == port
    full = httpx.post(f"{running.url}/servers", json={"variant": "asyncio", "port": 0})
    assert (full.status_code, full.json()["type"]) == (409, "/problems/port-taken")
    outside = httpx.post(
        f"{running.url}/servers", json={"variant": "asyncio", "port": port + 1 if port < 65535 else 2000}
    )
    assert (outside.status_code, outside.json()["allowed"]) == (403, f"{port}-{port}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ports", "9-1"], "--ports"),
        (["--ports", "x"], "--ports"),
        (["--ports", "0-70000"], "--ports"),
        (["--port", "70000"], "--port"),
        (["--port", "abc"], "--port"),
        (["--loop", "twisted"], "--loop"),
        (["--host", "0.0.0.0"], "--trust-network"),
        (["--host", "::"], "--trust-network"),
        (["--host", "192.0.2.1"], "--trust-network"),
        (["--host", "no.such.host.invalid", "--trust-network"], "no.such.host.invalid"),
        (["--host", "192.0.2.1", "--trust-network"], "192.0.2.1"),
        (["--state", "/proc/nowhere/state"], "--state"),
        (["--state", "/"], "--state"),
    ],
)
def test_an_option_that_cannot_be(options: list[str], said: str) -> None:
    if "--port" not in options:
        options = [*options, "--port", "0"]
    done = run("serve", *options, **({} if "--state" in options else {"ECHODECK_STATE": ":memory:"}))
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_environment_is_checked_as_well() -> None:
    done = run("serve", ECHODECK_PORT="many")
    assert (done.returncode, "ECHODECK_PORT" in done.stderr) == (2, True)


def test_a_token_opens_the_way_beyond_loopback(program: Start) -> None:
    running = program("--host", "0.0.0.0", ECHODECK_TOKEN="secret")
    url = f"http://127.0.0.1:{running.port}/servers"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"authorization": "Bearer secret"}).status_code == 200


def test_it_listens_on_every_address_of_localhost(program: Start) -> None:
    running = program("--host", "localhost")
    for address in {str(found[4][0]) for found in socket.getaddrinfo("localhost", None)}:
        assert httpx.get(f"http://{format_address(address, running.port)}/healthz").status_code == 200


def test_head_is_get_without_a_body(program: Start) -> None:
    running = program()
    for path, status in (("/", 200), ("/servers", 200), ("/healthz", 200), ("/nowhere", 404)):
        response = httpx.head(f"{running.url}{path}")
        assert (response.status_code, response.content) == (status, b"")
        assert response.headers["content-type"] == httpx.get(f"{running.url}{path}").headers["content-type"]


def test_the_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "echodeck")


def test_a_stop_is_no_news_for_the_log(program: Start) -> None:
    running = program()
    made = make(running, "blocking")
    with socket.create_connection(("127.0.0.1", int(str(made["port"])))) as client:
        client.send(b"hello")
        httpx.post(f"{running.url}/servers/{made['name']}/stop")
    assert "Traceback" not in running.end()


def test_a_large_body_gets_its_answer_over_a_real_connection(program: Start) -> None:
    running = program()
    for content in (b"x" * 10_000_000, iter([b"x" * 100_000] * 100)):
        response = httpx.post(f"{running.url}/servers", content=content, headers={"content-type": "application/json"})
        assert response.status_code == 413
    assert httpx.get(f"{running.url}/healthz").status_code == 200


async def test_a_request_that_is_cut_off_does_nothing(program: Start) -> None:
    running = program()
    made = make(running, "asyncio")
    for path, body in (("/ui/servers", b"variant=asyncio&port=2002"), (f"/servers/{made['name']}/stop", b"{")):
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 1}\r\n"
            client.send(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode() + body)
    assert states(running) == {made["name"]: "running"}
    assert states(running) == {made["name"]: "running"}


def test_endless_headers_are_refused(program: Start) -> None:
    running = program()
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with suppress(ConnectionError):
            for _ in range(100):
                client.send(b"x" * 65_536)
        with suppress(ConnectionError):
            assert client.recv(100).startswith(b"HTTP/1.1 431 ")
    assert httpx.get(f"{running.url}/healthz", headers={"x-long": "x" * 60_000}).status_code == 200


async def test_strangers_that_hold_the_pages_connections_spin_no_loop(program: Start) -> None:
    command = ("sh", "-c", 'ulimit -n 200; exec "$@"', "sh", ECHODECK)
    running = program(command=command)
    strangers = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(300)]
    await until(lambda: hung_up(strangers[-1]), "the last of them is hung up")
    assert cpu_ticks(running.process.pid) < 300  # of 100 a second; its start took most of them
    for stranger in strangers:
        stranger.close()
    await until(lambda: answers(running), "the page answers again")
    assert len(running.end()) < 2000


def hung_up(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def answers(running: Program) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{running.url}/healthz").status_code == 200
    return False


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


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
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0
    assert time.monotonic() - began < 5
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
