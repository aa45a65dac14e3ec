"""REST to the letter: fields, status codes, problems, pages of lists, and the document that describes them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings

from app.errors import Refusal, refusals
from app.program.app import create_app
from app.settings import Settings
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from tests.conftest import VARIANTS, Program, Start
from tests.helpers import Client, until

FIELDS = (
    "name variant host port state desired since runs_on task restarts connections bytes_in bytes_out exceptions "
    "loop_share cpu_seconds exit spec"
).split()


async def make(api: httpx.AsyncClient, variant: str = "asyncio", port: int = 0, **fields: Any) -> dict[str, Any]:
    response = await api.post("/servers", json={"variant": variant, "port": port, **fields})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"].endswith(f"/{name}")
    assert (body["status"], bool(body["title"]), bool(body["detail"])) == (status, True, True)
    return body


# Variants


async def test_variants_are_listed_in_the_tutorials_order(api: httpx.AsyncClient) -> None:
    body = (await api.get("/variants")).json()
    assert [item["name"] for item in body["items"]][:7] == [
        "accept-once",
        "blocking-single",
        "blocking",
        "nonblocking",
        "selectors",
        "asyncio-basic",
        "asyncio",
    ]
    assert [item["step"] for item in body["items"]][:7] == [1, 2, 3, 4, 5, 6, 7]
    assert all(item["title"] and item["lesson"] and item["runs_on"] in {"loop", "thread"} for item in body["items"])
    assert body["next"] is None


@pytest.mark.parametrize("name", VARIANTS)
async def test_a_variants_source_is_its_file(api: httpx.AsyncClient, name: str) -> None:
    response = await api.get(f"/variants/{name}/source")
    assert response.text == VARIANTS[name].path.read_text()
    assert "def serve(" in response.text


# Creating


async def test_a_created_server_listens(api: httpx.AsyncClient) -> None:
    response = await api.post("/servers", json={"variant": "asyncio", "port": 0})
    server = response.json()
    assert (response.status_code, response.headers["location"]) == (201, f"/servers/{server['name']}")
    assert server["name"] == f"asyncio-{server['port']}"
    async with await Client.to(server["port"]) as client:
        await client.ask(b"hi", b"hi")


async def test_a_server_has_every_field_of_the_contract(api: httpx.AsyncClient) -> None:
    server = await make(api)
    assert [field for field in FIELDS if field not in server] == []
    assert set(server["connections"]) >= {"open", "total", "waiting", "peak"}
    assert server["state"] == server["desired"] == "running"
    assert server["task"] == f"server:{server['name']}"
    assert server["exit"] is None
    assert datetime.fromisoformat(server["since"]).utcoffset() is not None
    assert server["spec"] == {
        "variant": "asyncio",
        "port": server["port"],
        "host": "127.0.0.1",
        "name": server["name"],
        "on": None,
        "start": True,
        "restart": "on-failure",
        "backlog": 128,
        "max_connections": None,
        "max_per_peer": None,
        "max_rate": None,
        "idle_timeout": None,
        "recv_size": 65536,
        "nodelay": True,
        "max_buffer": 1048576,
    }


async def test_a_server_counts_its_connections(api: httpx.AsyncClient) -> None:
    server = await make(api, "blocking")
    async with await Client.to(server["port"]) as first, await Client.to(server["port"]):
        await first.send(b"12345")

        async def seen() -> dict[str, Any]:
            return (await api.get(f"/servers/{server['name']}")).json()

        for _ in range(1000):
            now = await seen()
            if now["connections"]["waiting"] == 1 and now["bytes_in"] == 5:
                break
        assert {k: now["connections"][k] for k in ("open", "total", "waiting", "peak")} == {
            "open": 1,
            "total": 1,
            "waiting": 1,
            "peak": 1,
        }
        assert now["cpu_seconds"] >= 0


# Refusals


BAD_BODIES: list[tuple[str, dict[str, Any], str | None]] = [
    ("port missing", {"variant": "asyncio"}, "port"),
    ("variant missing", {"port": 0}, "variant"),
    ("port negative", {"variant": "asyncio", "port": -1}, "port"),
    ("port too large", {"variant": "asyncio", "port": 70000}, "port"),
    ("port a word", {"variant": "asyncio", "port": "abc"}, "port"),
    ("port a number in a string", {"variant": "asyncio", "port": "8001"}, "port"),
    ("port a fraction", {"variant": "asyncio", "port": 8001.5}, "port"),
    ("port true", {"variant": "asyncio", "port": True}, "port"),
    ("port null", {"variant": "asyncio", "port": None}, "port"),
    ("port enormous", {"variant": "asyncio", "port": 10**400}, "port"),
    ("variant unknown", {"variant": "fork", "port": 0}, "variant"),
    ("variant a list", {"variant": ["asyncio"], "port": 0}, "variant"),
    ("field unknown", {"variant": "asyncio", "port": 0, "colour": "red"}, "colour"),
    ("name empty", {"variant": "asyncio", "port": 0, "name": ""}, "name"),
    ("name with a slash", {"variant": "asyncio", "port": 0, "name": "a/b"}, "name"),
    ("name with HTML", {"variant": "asyncio", "port": 0, "name": "<b>"}, "name"),
    ("name with a line end", {"variant": "asyncio", "port": 0, "name": "a\n"}, "name"),
    ("name that climbs", {"variant": "asyncio", "port": 0, "name": ".."}, "name"),
    ("name too long", {"variant": "asyncio", "port": 0, "name": "x" * 64}, "name"),
    ("host empty", {"variant": "asyncio", "port": 0, "host": ""}, "host"),
    ("host that does not resolve", {"variant": "asyncio", "port": 0, "host": "no.such.host.invalid"}, "host"),
    ("host with a NUL", {"variant": "asyncio", "port": 0, "host": "a\0b"}, "host"),
    ("host not encodable", {"variant": "asyncio", "port": 0, "host": "\ud800"}, "host"),
    ("host with a label too long", {"variant": "asyncio", "port": 0, "host": "x" * 64 + ".com"}, "host"),
    ("host too long", {"variant": "asyncio", "port": 0, "host": "x" * 300}, "host"),
    ("backlog zero", {"variant": "asyncio", "port": 0, "backlog": 0}, "backlog"),
    ("max_connections zero", {"variant": "asyncio", "port": 0, "max_connections": 0}, "max_connections"),
    ("idle_timeout negative", {"variant": "asyncio", "port": 0, "idle_timeout": -1}, "idle_timeout"),
    ("idle_timeout true", {"variant": "asyncio", "port": 0, "idle_timeout": True}, "idle_timeout"),
    ("idle_timeout in a string", {"variant": "asyncio", "port": 0, "idle_timeout": "5"}, "idle_timeout"),
    ("recv_size too large", {"variant": "asyncio", "port": 0, "recv_size": 10**9}, "recv_size"),
    ("nodelay a word", {"variant": "asyncio", "port": 0, "nodelay": "yes"}, "nodelay"),
    ("start a number", {"variant": "asyncio", "port": 0, "start": 1}, "start"),
    ("restart unknown", {"variant": "asyncio", "port": 0, "restart": "sometimes"}, "restart"),
]


@pytest.mark.parametrize(("body", "field"), [case[1:] for case in BAD_BODIES], ids=[case[0] for case in BAD_BODIES])
async def test_a_bad_value_is_named(api: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    sent = json.dumps(body).encode()
    response = await api.post("/servers", content=sent, headers={"content-type": "application/json"})
    found = problem(response, 422, "invalid")
    assert found["field"] == field
    assert field in {error["field"] for error in found["errors"]}
    assert (await api.get("/servers")).json()["items"] == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'[{"variant": "asyncio", "port": 0}]', "application/json"),
        (b"null", "application/json"),
        (b'"text"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 60_000, "application/json"),
        (b'{"variant": "asyncio", "port": NaN}', "application/json"),
        (b"variant=asyncio&port=0", "application/x-www-form-urlencoded"),
        (b'{"variant": "asyncio", "port": 0}', "text/plain"),
    ],
)
async def test_a_body_that_is_no_json_object(api: httpx.AsyncClient, content: bytes, kind: str) -> None:
    for method, path in (("POST", "/servers"), ("PATCH", "/servers/x")):
        response = await api.request(method, path, content=content, headers={"content-type": kind})
        problem(response, 422, "invalid")


async def test_a_body_of_10_mb_is_refused(api: httpx.AsyncClient) -> None:
    body = json.dumps({"variant": "asyncio", "port": 0, "name": "x" * 10_000_000}).encode()
    response = await api.post("/servers", content=body, headers={"content-type": "application/json"})
    assert problem(response, 413, "body-too-large")["limit"] == 65536


async def test_a_port_that_one_of_ours_holds(api: httpx.AsyncClient) -> None:
    first = await make(api)
    for body in ({"variant": "selectors", "port": first["port"]}, {"variant": "asyncio", "port": first["port"]}):
        assert problem(await api.post("/servers", json=body), 409, "port-taken")["holder"] == first["name"]


async def test_a_port_that_a_program_outside_holds(api: httpx.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        body = {"variant": "asyncio", "port": other.getsockname()[1]}
        found = problem(await api.post("/servers", json=body), 409, "port-taken")
    assert found["holder"] is None
    assert "program outside" in found["detail"]


@pytest.mark.parametrize("port", [1, 80, 1023])
async def test_a_privileged_port(api: httpx.AsyncClient, port: int) -> None:
    found = problem(await api.post("/servers", json={"variant": "asyncio", "port": port}), 403, "port-not-allowed")
    assert found["allowed"] == "1024-65535"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_a_host_beyond_loopback(api: httpx.AsyncClient, host: str) -> None:
    body = {"variant": "asyncio", "port": 0, "host": host}
    problem(await api.post("/servers", json=body), 403, "host-not-allowed")


async def test_a_name_that_is_taken(api: httpx.AsyncClient) -> None:
    await make(api, name="me")
    body = {"variant": "asyncio", "port": 0, "name": "me"}
    assert problem(await api.post("/servers", json=body), 409, "name-taken")["server"] == "/servers/me"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/servers/nobody"),
        ("PATCH", "/servers/nobody"),
        ("DELETE", "/servers/nobody"),
        ("POST", "/servers/nobody/start"),
        ("POST", "/servers/nobody/stop"),
        ("POST", "/servers/nobody/restart"),
        ("GET", "/variants/nothing/source"),
        ("GET", "/nowhere"),
        ("GET", "/problems/nothing"),
        ("GET", "/static/no"),
        ("GET", "/static/%2e%2e/pyproject.toml"),
        ("GET", "/servers/a%2fb"),
    ],
)
async def test_what_does_not_exist(api: httpx.AsyncClient, method: str, path: str) -> None:
    problem(await api.request(method, path, json={} if method == "PATCH" else None), 404, "unknown")


async def test_a_method_that_is_not_taken(api: httpx.AsyncClient) -> None:
    for path, taken in (("/servers", "GET, POST"), ("/servers/x", "DELETE, GET, PATCH"), ("/static/page.css", "GET")):
        response = await api.put(path, json={})
        problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == taken


PAGES = (
    "limit=0 limit=-1 limit=1001 limit=1000000000 limit=x after=made-up after= after=c2VydmVyczotMQ after=%FF"
).split()


@pytest.mark.parametrize("query", PAGES)
@pytest.mark.parametrize("path", ["/servers", "/variants"])
async def test_a_page_that_cannot_be(api: httpx.AsyncClient, path: str, query: str) -> None:
    assert problem(await api.get(f"{path}?{query}"), 422, "invalid")["field"] == query.partition("=")[0]


@pytest.mark.parametrize("drain", ["-1", "x", "1e9", "nan", "inf"])
async def test_a_drain_that_cannot_be(api: httpx.AsyncClient, drain: str) -> None:
    server = await make(api)
    response = await api.post(f"/servers/{server['name']}/stop?drain={drain}")
    assert problem(response, 422, "invalid")["field"] == "drain"
    assert (await api.get(f"/servers/{server['name']}")).json()["state"] == "running"


# Changing


async def test_the_verbs_are_idempotent(api: httpx.AsyncClient) -> None:
    server = await make(api)
    at = f"/servers/{server['name']}"
    verbs = {"start": "running", "stop": "stopped", "restart": "running"}
    for verb in ("start", "stop", "stop", "restart", "start"):
        state = verbs[verb]
        response = await api.post(f"{at}/{verb}")
        assert (response.status_code, response.json()["state"], response.json()["desired"]) == (200, state, state)
    assert (await api.delete(at)).status_code == 204
    problem(await api.delete(at), 404, "unknown")


async def test_a_start_that_cannot_listen_leaves_it_stopped(api: httpx.AsyncClient) -> None:
    server = await make(api)
    at = f"/servers/{server['name']}"
    await api.post(f"{at}/stop")
    with socket.create_server(("127.0.0.1", server["port"])):
        problem(await api.post(f"{at}/start"), 409, "port-taken")
        now = (await api.get(at)).json()
        assert (now["state"], now["desired"]) == ("stopped", "stopped")
    assert (await api.post(f"{at}/start")).json()["state"] == "running"


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"port": 1234}, 409, "not-stopped"),
        ({"host": "::1"}, 409, "not-stopped"),
        ({"variant": "selectors", "backlog": 3}, 409, "not-stopped"),
        ({"variant": "fork"}, 422, "invalid"),
        ({"backlog": 3, "recv_size": 0}, 422, "invalid"),
        ({"backlog": 3, "name": "other"}, 422, "invalid"),
        ({"backlog": 3, "start": False}, 422, "invalid"),
        ({"backlog": None}, 422, "invalid"),
        ({"port": None}, 422, "invalid"),
    ],
)
async def test_a_patch_that_fails_changes_nothing(
    api: httpx.AsyncClient, change: dict[str, Any], status: int, name: str
) -> None:
    server = await make(api)
    problem(await api.patch(f"/servers/{server['name']}", json=change), status, name)
    assert (await api.get(f"/servers/{server['name']}")).json() == server


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"port": 80, "backlog": 3}, 403, "port-not-allowed"),
        ({"host": "0.0.0.0"}, 403, "host-not-allowed"),
        ({"host": "no.such.host.invalid"}, 422, "invalid"),
    ],
)
async def test_a_patch_of_a_stopped_server_that_fails_changes_nothing(
    api: httpx.AsyncClient, change: dict[str, Any], status: int, name: str
) -> None:
    server = await make(api, start=False)
    problem(await api.patch(f"/servers/{server['name']}", json=change), status, name)
    assert (await api.get(f"/servers/{server['name']}")).json() == server


async def test_a_patch_to_port_0_picks_a_port_that_stays(api: httpx.AsyncClient) -> None:
    server = await make(api, start=False)
    at = f"/servers/{server['name']}"
    port = (await api.patch(at, json={"port": 0})).json()["port"]
    assert port > 0
    for verb in ("start", "restart"):
        assert (await api.post(f"{at}/{verb}")).json()["port"] == port
    async with await Client.to(port) as client:
        await client.ask(b"hi", b"hi")


async def test_a_patch_changes_what_it_names(api: httpx.AsyncClient) -> None:
    server = await make(api, backlog=5)
    changed = (await api.patch(f"/servers/{server['name']}", json={"idle_timeout": 2.5, "max_connections": 9})).json()
    assert changed["spec"] == server["spec"] | {"idle_timeout": 2.5, "max_connections": 9}
    changed = (await api.patch(f"/servers/{server['name']}", json={"max_connections": None})).json()
    assert changed["spec"] == server["spec"] | {"idle_timeout": 2.5}
    assert (await api.patch(f"/servers/{server['name']}", json={})).json()["spec"] == changed["spec"]


# Lists


async def test_pages_of_a_list_miss_and_repeat_nothing(api: httpx.AsyncClient) -> None:
    names = [(await make(api, name=f"s{number}", start=False))["name"] for number in range(7)]
    seen: list[str] = []
    after = ""
    while True:
        page = (await api.get(f"/servers?limit=3{after}")).json()
        seen += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        await api.delete(f"/servers/{seen[-1]}")  # what a cursor points at may go
        after = f"&after={page['next']}"
    assert seen == names


# Races


@pytest.mark.parametrize("variant", ["blocking", "asyncio", "nonblocking", "accept-once"])
async def test_fifty_calls_at_once_each_get_an_answer(api: httpx.AsyncClient, variant: str) -> None:
    server = await make(api, variant)
    at = f"/servers/{server['name']}"
    calls = [
        api.delete(at) if number == 40 else api.post(f"{at}/{('start', 'stop', 'restart')[number % 3]}")
        for number in range(50)
    ]
    responses = await asyncio.gather(*calls)
    assert {response.status_code for response in responses} <= {200, 204, 404, 409}
    problem(await api.get(at), 404, "unknown")
    again = await make(api, variant, server["port"])
    assert again["state"] == "running"


# Health, and the end


async def test_health_and_readiness(app: FastAPI, api: httpx.AsyncClient) -> None:
    assert ((await api.get("/healthz")).status_code, (await api.get("/readyz")).status_code) == (200, 200)
    server = await make(api)
    app.state.supervisor.announce_end()
    assert (await api.get("/healthz")).status_code == 200
    problem(await api.get("/readyz"), 503, "shutting-down")
    problem(await api.post("/servers", json={"variant": "asyncio", "port": 0}), 503, "shutting-down")
    problem(await api.post(f"/servers/{server['name']}/restart"), 503, "shutting-down")
    assert (await api.get(f"/servers/{server['name']}")).json()["state"] == "running"


async def test_a_bug_is_a_problem_without_a_traceback(
    app: FastAPI, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(after: int = 0) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(app.state.supervisor, "servers", broken)
    response = await api.get("/servers")
    problem(response, 500, "internal-error")
    assert "secret" not in response.text
    assert "ZeroDivisionError: secret" in caplog.text


# The document


@pytest.mark.parametrize("name", refusals())
async def test_each_problem_has_its_page(api: httpx.AsyncClient, name: str) -> None:
    body = (await api.get(f"/problems/{name}")).json()
    assert body["name"] == name
    assert len(body["explanation"]) > 20


async def test_a_list_has_each_server_as_it_is_now_after_every_change(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    fails = asyncio.Event()

    async def serve(listener: socket.socket, options: object) -> None:
        await fails.wait()
        raise RuntimeError('said "no"\n')

    server = await begin(serve)
    at = f"/servers/{server.name}"
    changed: set[str] = set()
    before: dict[str, Any] = {}

    async def compare() -> None:
        nonlocal before
        (listed,) = (await api.get("/servers")).json()["items"]
        alone = (await api.get(at)).json()
        assert {**listed, "loop_share": 0} == {**alone, "loop_share": 0}
        changed.update(field for field, value in before.items() if value != listed[field])
        before = listed

    await compare()
    await api.patch(at, json={"max_connections": 7, "restart": "on-failure"})
    await compare()
    fails.set()
    await until(lambda: server.state is State.BACKOFF, "it waits to be restarted")
    await compare()
    await until(lambda: server.restarts > 0, "it was restarted")
    await compare()
    await api.post(f"{at}/stop")
    await compare()
    server.epoch = 3
    await compare()
    assert changed >= {"state", "desired", "since", "task", "restarts", "exit", "spec", "epoch", "exceptions"}


def test_every_refusal_has_a_name_of_its_own() -> None:
    assert len(refusals()) == len(Refusal.__subclasses__())


async def test_the_document_describes_every_answer(app: FastAPI, api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"401", "403"} <= set(answers), (method, path)
            for status, answer in answers.items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
            if method in {"post", "patch"} and "requestBody" in operation:
                assert {"413", "422"} <= set(answers)
    assert "HTTPValidationError" not in json.dumps(document)


schema = schemathesis.openapi.from_dict(create_app(Settings(state=":memory:")).openapi())


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    program = Program("--state", ":memory:")
    yield program.url
    program.end()


BY_CHANCE = settings(deadline=None, suppress_health_check=list(HealthCheck))


@schema.parametrize()
@settings(BY_CHANCE, max_examples=1)
def test_answers_are_as_the_document_says(running: str, case: schemathesis.Case) -> None:
    answer_is_as_the_document_says(running, case)


@pytest.mark.slow
@schema.parametrize()
@settings(BY_CHANCE, max_examples=15)
def test_answers_to_many_are_as_the_document_says(running: str, case: schemathesis.Case) -> None:
    answer_is_as_the_document_says(running, case)


def answer_is_as_the_document_says(running: str, case: schemathesis.Case) -> None:
    response = case.call(base_url=running)
    checks = schemathesis.specs.openapi.checks
    excluded = [
        schemathesis.checks.not_a_server_error,  # 503 is described; below, 500 is what must not be
        checks.positive_data_acceptance,  # a port may be taken
    ]
    if response.status_code == 413:  # a refusal, too, which that check does not know
        excluded.append(checks.negative_data_rejection)
    case.validate_response(response, excluded_checks=excluded)
    assert response.status_code != 500
