"""Ways in that must be shut: each test is somebody who tries."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.settings import Settings
from app.web.security import COOKIE
from tests.conftest import Program

BODY = {"variant": "asyncio", "port": 0}
GUARDED = pytest.mark.parametrize("settings", [Settings(state=":memory:", token="secret", viewer_token="look")], indirect=True)  # fmt: skip


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    given: Settings = getattr(request, "param", Settings(state=":memory:"))
    return given


async def servers(app: FastAPI) -> int:
    return len(app.state.supervisor.servers())


# DNS rebinding: a foreign name that resolves to us


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example",
     "10.0.0.1", "[2001:db8::1]:8000", "", "[::1", "localhost:8000:1", "localhost ", "0.0.0.0"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/servers", "/docs", "/static/style/base.css", "/nowhere"])
async def test_a_foreign_host_is_refused(api: httpx.AsyncClient, host: str, path: str) -> None:
    response = await api.get(path, headers={"host": host})
    assert (response.status_code, response.json()["type"]) == (403, "/problems/foreign-host")


async def test_two_hosts_are_none(api: httpx.AsyncClient) -> None:
    response = await api.get("/servers", headers=[("host", "localhost"), ("host", "evil.example")])
    assert response.status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "127.0.0.5", "[::1]:8000"])  # fmt: skip
async def test_our_own_hosts_are_welcome(api: httpx.AsyncClient, host: str) -> None:
    assert (await api.get("/servers", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("settings", [Settings(state=":memory:", allowed_hosts="deck.example, other")], indirect=True)
async def test_a_host_may_be_allowed(api: httpx.AsyncClient, settings: Settings) -> None:
    for host, status in (("deck.example", 200), ("other:80", 200), ("third", 403)):
        assert (await api.get("/servers", headers={"host": host})).status_code == status


@pytest.mark.parametrize("settings", [Settings(state=":memory:", host="0.0.0.0", trust_network=True)], indirect=True)
async def test_what_listens_everywhere_is_called_by_its_addresses(api: httpx.AsyncClient, settings: Settings) -> None:
    for host, status in (("10.0.0.1:8000", 200), ("[2001:db8::1]", 200), ("evil.example", 403)):
        assert (await api.get("/servers", headers={"host": host})).status_code == status


@pytest.mark.parametrize("settings", [Settings(state=":memory:", host="0.0.0.0", trust_network=True)], indirect=True)
async def test_a_page_at_any_other_address_is_foreign_still(api: httpx.AsyncClient, settings: Settings) -> None:
    for origin, status in (("http://6.6.6.6:8000", 403), ("http://127.0.0.1:8000", 403), ("http://10.0.0.1:8000", 201)):
        response = await api.post("/servers", json=BODY, headers={"host": "10.0.0.1:8000", "origin": origin})
        assert response.status_code == status, origin


async def test_a_cross_site_request_is_foreign_whatever_its_origin_says(api: httpx.AsyncClient) -> None:
    headers = {"origin": "http://localhost:8000", "sec-fetch-site": "cross-site"}
    assert (await api.post("/servers", json=BODY, headers=headers)).status_code == 403


# Requests that another site's page sends


FOREIGN = ["http://evil.example", "null", "http://localhost:9000", "http://localhost", "https://localhost:8000.evil.example", "file://", "http://evil.example:8000", "javascript:", "http://[", "http://127.0.0.1.evil.example:8000"]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_changes_nothing(app: FastAPI, api: httpx.AsyncClient, origin: str) -> None:
    made = await api.post("/servers", json=BODY)
    at = f"/servers/{made.json()['name']}"
    form = {"variant": "asyncio"}
    for response in (
        await api.post("/servers", json=BODY, headers={"origin": origin}),
        await api.post("/servers", content=json.dumps(BODY), headers={"origin": origin, "content-type": "text/plain"}),
        await api.patch(at, json={"backlog": 1}, headers={"origin": origin}),
        await api.delete(at, headers={"origin": origin}),
        await api.post(f"{at}/stop", headers={"origin": origin}),
        await api.post("/ui/servers", data=form, headers={"origin": origin}),
        await api.post(f"/ui{at}/stop", headers={"origin": origin}),
        await api.post("/login", data={"token": "x"}, headers={"origin": origin}),
    ):
        assert (response.status_code, response.json()["type"]) == (403, "/problems/foreign-origin")
    assert (await api.get(at)).json() == made.json()
    assert await servers(app) == 1


async def test_a_foreign_page_that_hides_its_origin_changes_nothing(app: FastAPI, api: httpx.AsyncClient) -> None:
    for site in ("cross-site", "same-site"):
        response = await api.post("/servers", json=BODY, headers={"sec-fetch-site": site})
        assert response.status_code == 403
    assert await servers(app) == 0


async def test_two_origins_are_none(api: httpx.AsyncClient) -> None:
    headers = [("origin", "http://localhost:8000"), ("origin", "http://evil.example")]
    assert (await api.post("/servers", json=BODY, headers=headers)).status_code == 403


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
async def test_our_own_page_may_change_things(api: httpx.AsyncClient, origin: str) -> None:
    assert (await api.post("/servers", json=BODY, headers={"origin": origin})).status_code == 201


async def test_no_foreign_page_is_told_that_it_may(api: httpx.AsyncClient) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    response = await api.options("/servers", headers=headers)
    assert response.status_code >= 400
    assert not [name for name in response.headers if name.startswith("access-control")]


# WebSockets, which neither Starlette's CORS nor its BaseHTTP middleware sees


async def refusal(program: Program, path: str = "/servers/x/terminal", **headers: str) -> int:
    try:
        async with connect(f"ws://127.0.0.1:{program.port}{path}", additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_websocket_from_elsewhere_is_refused(program: Callable[..., Program]) -> None:
    running = program()
    assert await refusal(running, Origin="http://evil.example") == 403
    assert await refusal(running, Host="evil.example") == 403


async def test_a_websocket_without_the_token_is_refused(program: Callable[..., Program]) -> None:
    running = program(ECHODECK_TOKEN="secret", ECHODECK_VIEWER_TOKEN="look")
    assert await refusal(running) == 401
    assert await refusal(running, Authorization="Bearer look") == 403
    for path in ("/servers/x/terminal", "/", "/static/style/base.css", "/nowhere"):
        assert await refusal(running, path, Authorization="Bearer secret") == 404


# Tokens


OPEN = ["/healthz", "/readyz", "/login", "/static/style/base.css"]
CLOSED = ["/", "/servers", "/variants", "/docs", "/openapi.json", "/nowhere", "/problems/unknown", "/variants/asyncio/source", "/static", "/healthz/", "//healthz"]  # fmt: skip


@GUARDED
@pytest.mark.parametrize("path", CLOSED)
async def test_nothing_is_told_without_the_token(api: httpx.AsyncClient, settings: Settings, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}, {"authorization": "secret"},
                    {"authorization": "Bearer "}, {"cookie": f"{COOKIE}=secret"}, {"cookie": f"{COOKIE}="}, {"cookie": "\xff;;==".encode("latin-1")}):  # fmt: skip
        response = await api.get(path, headers=headers)
        assert (response.status_code, response.json()["type"]) == (401, "/problems/token-required")
        assert response.headers["www-authenticate"].startswith("Bearer")


@GUARDED
@pytest.mark.parametrize("path", OPEN)
async def test_health_and_login_need_no_token(api: httpx.AsyncClient, settings: Settings, path: str) -> None:
    assert (await api.get(path)).status_code == 200


@GUARDED
async def test_changing_takes_the_token(app: FastAPI, api: httpx.AsyncClient, settings: Settings) -> None:
    assert (await api.post("/servers", json=BODY)).status_code == 401
    assert (await api.post("/ui/servers", data={"variant": "asyncio"})).status_code == 401
    assert await servers(app) == 0
    response = await api.post("/servers", json=BODY, headers={"authorization": "bearer secret"})
    assert response.status_code == 201


@GUARDED
async def test_the_viewer_token_reads_only(app: FastAPI, api: httpx.AsyncClient, settings: Settings) -> None:
    api.headers["authorization"] = "Bearer look"
    assert (await api.get("/servers")).status_code == 200
    for method, path in (("POST", "/servers"), ("DELETE", "/servers/x"), ("PATCH", "/servers/x"), ("POST", "/servers/x/stop"), ("POST", "/ui/servers")):  # fmt: skip
        response = await api.request(method, path, json=BODY)
        assert (response.status_code, response.json()["type"]) == (403, "/problems/read-only")
    assert await servers(app) == 0
    assert "Start a server" not in (await api.get("/")).text


@GUARDED
async def test_a_browser_logs_in(api: httpx.AsyncClient, settings: Settings) -> None:
    page = await api.get("/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert 'action="/login"' in page.text
    wrong = await api.post("/login", data={"token": "wrong"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    for then, to in (
        ("/ui/loop?server=a", "/ui/loop?server=a"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ):
        assert (await api.post("/login", data={"token": "secret", "then": then})).headers["location"] == to
    right = await api.post("/login", data={"token": "secret"})
    assert right.status_code == 303
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secret" not in cookie
    assert (await api.get("/")).status_code == 200
    assert (await api.post("/servers", json=BODY, headers={"origin": "http://localhost:8000"})).status_code == 201


@GUARDED
async def test_other_apps_cookies_do_not_log_anybody_out(api: httpx.AsyncClient, settings: Settings) -> None:
    cookie = (await api.post("/login", data={"token": "secret"})).headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("echodeck-8000=")
    api.cookies.clear()
    for others in (
        f'prefs={{"a":1}}; {cookie}',
        f"a[x]=1; {cookie}",
        f"echodeck-9000=stale; {cookie}",
        f"{cookie}; ;;==",
    ):
        assert (await api.get("/servers", headers={"cookie": others})).status_code == 200


@GUARDED
async def test_a_logout_forgets_the_session(api: httpx.AsyncClient, settings: Settings) -> None:
    await api.post("/login", data={"token": "secret"})
    assert "Log out" in (await api.get("/")).text
    assert (await api.post("/logout")).status_code == 303
    assert (await api.get("/servers")).status_code == 401


async def test_without_a_token_there_is_no_login(api: httpx.AsyncClient) -> None:
    assert (await api.get("/login")).headers["location"] == "/"
    assert (await api.post("/login", data={"token": "x"})).headers["location"] == "/"


@GUARDED
async def test_a_viewer_logs_in_as_one(api: httpx.AsyncClient, settings: Settings) -> None:
    await api.post("/login", data={"token": "look"})
    assert (await api.get("/servers")).status_code == 200
    assert (await api.post("/servers", json=BODY)).status_code == 403


@GUARDED
async def test_with_a_token_servers_may_listen_beyond_loopback(api: httpx.AsyncClient, settings: Settings) -> None:
    api.headers["authorization"] = "Bearer secret"
    response = await api.post("/servers", json=BODY | {"host": "0.0.0.0"})
    assert response.status_code == 201


@GUARDED
async def test_even_then_not_at_addresses_of_others(api: httpx.AsyncClient, settings: Settings) -> None:
    api.headers["authorization"] = "Bearer secret"
    made = (await api.post("/servers", json=BODY | {"start": False})).json()
    elsewhere = {"host": "192.0.2.1"}
    for response in (
        await api.post("/servers", json=BODY | elsewhere),
        await api.post("/servers", json={"variant": "asyncio", "port": 20_000, "start": False} | elsewhere),
        await api.patch(f"/servers/{made['name']}", json=elsewhere),
    ):
        assert (response.status_code, response.json()["field"]) == (422, "host")
    assert (await api.get(f"/servers/{made['name']}")).json() == made


@pytest.mark.parametrize("tokens", [{"viewer_token": "look"}, {"token": "same", "viewer_token": "same"}])
def test_tokens_that_make_no_sense_are_refused(tokens: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="ECHODECK_VIEWER_TOKEN"):
        Settings(state=":memory:", **tokens)


# Every answer's headers


@pytest.mark.parametrize("path", ["/", "/servers", "/nowhere", "/static/style/base.css", "/static/none", "/docs"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_every_answer_carries_the_headers(api: httpx.AsyncClient, path: str, host: str) -> None:
    headers = (await api.get(path, headers={"host": host})).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert all(source in {"'self'", "'none'", "data:"} for value in policy.values() for source in value.split())
    assert policy["script-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] in {"no-store", "no-cache"}


async def test_what_a_client_sent_is_shown_escaped(api: httpx.AsyncClient) -> None:
    attack = "<script>alert(1)</script>"
    page = await api.post("/ui/servers", data={"variant": attack, "name": attack, "port": attack, "host": attack})
    assert page.status_code == 422
    assert attack not in page.text
    assert "&lt;script&gt;" in page.text
