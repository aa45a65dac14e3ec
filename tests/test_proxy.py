"""Behind a reverse proxy, a real nginx: at a path that it cuts off or leaves, with TLS ended there, and logged in."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers
from websockets.asyncio.client import connect

import echodeck
from app.settings import Settings
from app.web.place import Place
from tests.conftest import ECHODECK
from tests.proxied import Mount


@pytest.mark.parametrize("cut", [False, True])
def test_every_address_that_is_given_leads_back_through_the_proxy(mounted: Mount, cut: bool) -> None:
    deck = mounted(cut)
    root = "/lab/echodeck"
    with deck.client() as api:
        made = api.post("/servers", json={"variant": "asyncio", "port": 0, "name": "one"})
        assert (made.status_code, made.headers["location"]) == (201, f"{root}/servers/one")
        taken = api.post("/servers", json={"variant": "asyncio", "port": 0, "name": "one"})
        assert (taken.status_code, taken.json()["type"]) == (409, f"{root}/problems/name-taken")
        assert taken.json()["server"] == f"{root}/servers/one"
        assert httpx.get(deck.url.removesuffix(root) + taken.json()["type"], verify=deck.tls()).status_code == 200
        for path in ("/", "/ui/servers/one", "/ui/loop", "/ui/exceptions", "/docs", "/nowhere"):
            page = api.get(path, headers={"accept": "text/html"}).text
            addresses = re.findall(r'(?:href|src|action|formaction)="(/[^"]*)"', page)
            assert addresses
            assert [one for one in addresses if not one.startswith(f"{root}/")] == []
        slash = api.get("/servers/")
        assert (slash.status_code, slash.headers["location"]) == (307, f"{root}/servers")
        form = api.post("/ui/servers/one/stop", headers={"origin": deck.url.removesuffix(root)})
        assert (form.status_code, form.headers["location"]) == (303, f"{root}/")
        document = api.get("/openapi.json").json()
        assert document["servers"][0] == {"url": root}
    bare = httpx.get(deck.url, verify=deck.tls(), trust_env=False, follow_redirects=True)
    assert (bare.status_code, 'id="main"' in bare.text) == (200, True)


@pytest.mark.parametrize("cut", [False, True])
async def test_the_rules_hold_through_it(mounted: Mount, cut: bool) -> None:
    deck = await asyncio.to_thread(mounted, cut)
    origin = deck.url.removesuffix("/lab/echodeck")
    with deck.client() as api:
        body = {"variant": "asyncio", "port": 0, "name": "one"}
        assert api.post("/servers", json=body, headers={"origin": "https://evil.example"}).status_code == 403
        assert api.post("/servers", json=body, headers={"origin": "null"}).status_code == 403
        assert api.post("/servers", json=body, headers={"origin": origin}).status_code == 201
        assert api.get("/servers", headers={"host": "evil.example"}).status_code == 403
        assert (
            api.get("/servers", headers={"x-forwarded-host": "evil.example"}).status_code == 200
        )  # nginx says its own
    url = deck.url.replace("https", "wss") + "/servers/one/terminal"
    async with connect(url, ssl=deck.tls(), origin=origin, proxy=None) as terminal:  # type: ignore[arg-type]
        await terminal.send(b"hello")
        assert await terminal.recv() == b"hello"
    with pytest.raises(Exception, match="403"):
        async with connect(url, ssl=deck.tls(), origin="https://evil.example", proxy=None):  # type: ignore[arg-type]
            pass


def test_the_command_line_reaches_it_by_its_address(mounted: Mount) -> None:
    deck = mounted(ECHODECK_TOKEN="secret")
    more = {"ECHODECK_URL": deck.url, "ECHODECK_TOKEN": "secret", "SSL_CERT_FILE": str(deck.authorities)}
    for words, expected in (
        (["start", "asyncio", "--name", "one"], "one listens"),
        (["ls"], "one"),
        (["term", "one", "--eof"], "hello"),
        (["health"], "ready"),
    ):
        done = subprocess.run(
            [ECHODECK, *words], env=os.environ | more, input="hello", capture_output=True, text=True, check=False
        )
        assert (done.returncode, expected in done.stdout) == (0, True), done


# Whom it believes


SPOOFED = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "x-forwarded-for": "1.2.3.4"}


PLACE = Place("", Settings(state=":memory:", proxies="10.0.0.0/8, ::1").proxies)


def seen(client: str, **headers: str) -> tuple[str, str, str]:
    """Scheme, host and address of a request, as the app takes them."""
    sent = {"host": "localhost:8000", **headers}
    scope = PLACE.of(
        {
            "type": "http",
            "scheme": "http",
            "path": "/",
            "client": (client, 5),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
    )
    return scope["scheme"], Headers(scope=scope)["host"], scope["client"][0]


@pytest.mark.parametrize("client", ["127.0.0.1", "11.0.0.1", "::2", "unix:"])
def test_nobody_else_is_believed(client: str) -> None:
    assert seen(client, **SPOOFED) == ("http", "localhost:8000", client)


@pytest.mark.parametrize("client", ["10.1.2.3", "::1", "::ffff:10.1.2.3"])
def test_who_is_named_is_believed(client: str) -> None:
    assert seen(client, **SPOOFED) == ("https", "evil.example", "1.2.3.4")
    assert seen(client, **{"x-forwarded-proto": "gopher"}) == ("http", "localhost:8000", client)


@pytest.mark.parametrize("settings", [Settings(state=":memory:", proxies="10.0.0.0/8", allowed_hosts="deck.example")])
async def test_what_a_named_proxy_says_is_checked_too(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app, client=("10.1.2.3", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as api:
        assert (await api.get("/servers", headers=SPOOFED)).status_code == 403
        allowed = SPOOFED | {"x-forwarded-host": "deck.example"}
        assert (await api.get("/servers", headers=allowed)).status_code == 200


@pytest.mark.parametrize("settings", [Settings(state=":memory:", token="secret")])
async def test_behind_tls_that_nobody_has_named_nothing_leads_out_of_it(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as api:
        bearer = {"authorization": "Bearer secret"}
        slash = await api.get("/servers/?limit=1", headers=bearer)
        assert (slash.status_code, slash.headers["location"]) == (307, "/servers?limit=1")
        plain = await api.post("/login", data={"token": "secret"})
        assert "secure" not in plain.headers["set-cookie"].lower()
        behind = await api.post("/login", data={"token": "secret"}, headers={"x-forwarded-proto": "https"})
        assert "; secure" in behind.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--root-path", "lab?x"), "--root-path"),
        (("--root-path", "/a/../b"), "--root-path"),
        (("--root-path", "//a b"), "--root-path"),
        (("--proxies", "10.0.0.0/99"), "--proxies"),
        (("--proxies", "nginx"), "--proxies"),
    ],
)
def test_what_is_no_path_and_no_network_is_refused(options: tuple[str, str], words: str) -> None:
    done = subprocess.run(
        [ECHODECK, "serve", "--port", "0", "--state", ":memory:", *options],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr.startswith(f"echodeck: {words}: must be")) == (2, True), done.stderr


def test_a_client_knows_its_path() -> None:
    assert echodeck.Client("http://127.0.0.1:1/lab/echodeck/").url == "http://127.0.0.1:1/lab/echodeck"
