"""``echodeck serve`` as a user starts it: options, addresses, either loop; a real process with real clients."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest

from app.addresses import format_address
from tests.conftest import VARIANTS
from tests.helpers import PATIENCE, Client, first, until
from tests.programs import Start, make, run, states


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_every_variant_answers_on_either_loop(program: Start, loop: str) -> None:
    running = program("--loop", loop)
    for variant in VARIANTS.values():
        made = make(running, variant.name)
        async with await Client.to(int(str(made["port"]))) as client:
            if variant.wire.answers == "nothing":
                assert await client.rest() == b""
            else:
                await client.ask(b"hi\nquit\n", variant.wire.prefix + b"hi\nquit\n")
        name, state = str(made["name"]), "exited" if variant.wire.clients == "one in all" else "running"
        await until(lambda name=name, state=state: states(running)[name] == state, f"{name} is {state}")
        # At once: an exited server does not hold its port, and a program of another test may be given it.
        restarted = httpx.post(f"{running.url}/servers/{name}/restart").json()
        assert restarted.get("state") == "running", restarted
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
    first(
        6,
        [
            (["--ports", "9-1"], "--ports"),
            (["--port", "70000"], "--port"),
            (["--loop", "twisted"], "--loop"),
            (["--host", "0.0.0.0"], "--trust-network"),
            (["--host", "no.such.host.invalid", "--trust-network"], "no.such.host.invalid"),
            (["--state", "/proc/nowhere/state"], "--state"),
            (["--ports", "x"], "--ports"),
            (["--ports", "0-70000"], "--ports"),
            (["--port", "abc"], "--port"),
            (["--host", "::"], "--trust-network"),
            (["--host", "192.0.2.1"], "--trust-network"),
            (["--host", "192.0.2.1", "--trust-network"], "192.0.2.1"),
            (["--state", "/"], "--state"),
        ],
    ),
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
