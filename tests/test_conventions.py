"""Conventions of HTTP that every client may count on: Location, ETag and If-Match, Retry-After, Prefer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.errors import Refusal, refusals
from app.supervising.precondition import IfMatch
from app.web.parameters import MOST_WAIT, preferred_wait
from tests.helpers import until
from tests.labs import SHORT
from tests.test_rest import make, problem

SCRIPT = '[[client]]\ndoes = ["connect", "say hi\\n", "leave"]\n'
BUSY = [name for name, kind in refusals().items() if kind.status == 503]


async def document(api: httpx.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = (await api.get("/openapi.json")).json()["paths"]
    return [(path, method, operation) for path, found in paths.items() for method, operation in found.items()]


# Location


async def test_whatever_is_created_or_accepted_says_where_it_is(api: httpx.AsyncClient) -> None:
    name = (await make(api))["name"]
    created = {
        "/servers": {"variant": "asyncio", "port": 0},
        f"/servers/{name}/recordings": {"seconds": 0.05},
        "/comparisons": {"script": SCRIPT, "variants": ["asyncio"]},
        "/lab/experiments": {**SHORT, "variants": ["asyncio"]},
    }
    for path, body in created.items():
        answer = await api.post(path, json=body)
        assert answer.status_code in (201, 202), answer.text
        where = answer.headers["location"]
        found = await api.get(where)
        assert found.status_code == 200, where
        assert where.endswith(str(answer.json().get("id") or answer.json()["name"]))
    described = {
        path
        for path, method, operation in await document(api)
        if method == "post" and {"201", "202"} & set(operation["responses"])
    }
    assert described == {path.replace(name, "{name}") for path in created}, "one that is not tried here"


async def test_the_document_names_the_headers_of_every_answer(api: httpx.AsyncClient) -> None:
    needed = {"201": {"Location"}, "202": {"Location"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    for path, method, operation in await document(api):
        for status, answer in operation["responses"].items():
            headers = {name for name, about in answer.get("headers", {}).items() if about.get("required")}
            assert needed.get(status, set()) <= headers, (path, method, status)
        parameters = {one["name"] for one in operation.get("parameters", ())}
        assert ("Prefer" in parameters) == ("202" in operation["responses"]), (path, method)
        assert ("If-Match" in parameters) == ("412" in operation["responses"]), (path, method)


# ETag and If-Match


async def test_the_etag_is_that_of_the_spec(api: httpx.AsyncClient) -> None:
    created = await api.post("/servers", json={"variant": "asyncio", "port": 0})
    at = created.headers["location"]
    tag = created.headers["etag"]
    assert tag.startswith('"')
    await api.post(f"{at}/stop")
    assert (await api.get(at)).headers["etag"] == tag, "the state is not the spec"
    changed = await api.patch(at, json={"backlog": 5})
    assert changed.headers["etag"] != tag
    assert (await api.get(at)).headers["etag"] == changed.headers["etag"]
    assert (await api.patch(at, json={"backlog": 128})).headers["etag"] == tag
    name, port = created.json()["name"], created.json()["port"]
    await api.delete(at)
    again = await api.post("/servers", json={"variant": "asyncio", "port": port})
    assert again.json()["name"] == name
    assert again.headers["etag"] != tag, "another server of the same name"


async def test_of_two_clients_that_change_a_server_the_second_is_told(api: httpx.AsyncClient) -> None:
    at = f"/servers/{(await make(api))['name']}"
    tag = (await api.get(at)).headers["etag"]
    answers = await asyncio.gather(
        *(api.patch(at, json={"backlog": number}, headers={"If-Match": tag}) for number in (5, 6))
    )
    first, second = sorted(answers, key=lambda answer: answer.status_code)
    assert first.status_code == 200
    refused = problem(second, 412, "precondition-failed")
    now = await api.get(at)
    assert now.json()["spec"]["backlog"] == first.json()["spec"]["backlog"]
    assert refused["etag"] == first.headers["etag"] == now.headers["etag"]
    assert (await api.patch(at, json={"backlog": 7}, headers={"If-Match": refused["etag"]})).status_code == 200


async def test_a_removal_under_an_old_etag_disturbs_nothing(api: httpx.AsyncClient) -> None:
    at = f"/servers/{(await make(api))['name']}"
    old = (await api.get(at)).headers["etag"]
    await api.patch(at, json={"backlog": 5})
    problem(await api.delete(at, headers={"If-Match": old}), 412, "precondition-failed")
    now = await api.get(at)
    assert now.json()["state"] == "running"
    assert (await api.delete(at, headers={"If-Match": now.headers["etag"]})).status_code == 204
    problem(await api.delete(at, headers={"If-Match": old}), 404, "unknown")


@pytest.mark.parametrize(
    ("headers", "holds"),
    [
        ([], True),
        (["*"], True),
        ([" * "], True),
        (['"a"'], True),
        (['"b", "a"'], True),
        (['"b"', '"a"'], True),
        (['"x, y","a"'], True),
        (['"b"'], False),
        (['W/"a"'], False),  # weak, RFC 9110, 13.1.1
        (["a"], False),
        (['""'], False),
        (['"'], False),
    ],
)
def test_if_match_is_a_list_of_strong_tags(headers: list[str], holds: bool) -> None:
    if_match = IfMatch.of(headers)
    if holds:
        if_match.check('"a"')
    else:
        with pytest.raises(Refusal):
            if_match.check('"a"')


# Retry-After


@pytest.mark.parametrize("name", BUSY)
async def test_every_503_says_when_to_try_again(
    app: FastAPI, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def busy(name: str) -> None:
        raise kind("Not now.")

    kind = refusals()[name]
    monkeypatch.setattr(app.state.supervisor, "server", busy)
    for path, media_type in (("/servers/x", "*/*"), ("/ui/servers/x", "text/html")):
        answer = await api.get(path, headers={"accept": media_type})
        assert answer.status_code == 503
        assert media_type in ("*/*", answer.headers["content-type"].partition(";")[0])
        assert int(answer.headers["retry-after"]) > 0


# Prefer


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", None),
        ("wait=10", 10),
        ("Wait = 10", 10),
        ('wait="10"', 10),
        ("wait=0", 0),
        ("wait=999999999", MOST_WAIT),
        ("wait=99999999999999999999", None),
        ("respond-async, wait=10", 10),
        ("wait=10; foo=1, bar", 10),
        ("wait=10, wait=20", 10),
        ("wait=x, wait=20", None),
        ('foo="a, wait=20"', None),
        ('foo="a\\", wait=20", wait=3', 3),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=\u0661", None),
        ("waiting=3", None),
        (',,;="', None),
    ],
)
def test_a_preference_is_read_as_rfc_7240_has_it(prefer: str, seconds: int | None) -> None:
    assert preferred_wait(prefer) == seconds


async def test_an_experiment_is_waited_for_as_long_as_is_preferred(api: httpx.AsyncClient) -> None:
    body = {**SHORT, "variants": ["asyncio"]}
    over = await api.post("/lab/experiments", json=body, headers={"Prefer": "wait=50"})
    assert (over.status_code, over.json()["state"]) == (201, "done"), over.text
    assert over.headers["preference-applied"] == "wait=50"
    begun = await api.post("/lab/experiments", json={**body, "seconds": 20}, headers={"Prefer": "wait=0"})
    assert (begun.status_code, begun.headers["preference-applied"]) == (202, "wait=0")
    at = begun.headers["location"]
    assert (await api.delete(at)).status_code == 204
    plain = await api.post("/lab/experiments", json={**body, "seconds": 20})
    assert (plain.status_code, "preference-applied" in plain.headers) == (202, False)


async def test_waiting_ends_when_the_experiment_is_cancelled(app: FastAPI, api: httpx.AsyncClient) -> None:
    assert (await api.get("/lab/experiments")).json()["items"] == []
    body = {**SHORT, "variants": ["asyncio"], "seconds": 60}
    waiting = asyncio.create_task(api.post("/lab/experiments", json=body, headers={"Prefer": "wait=50"}))
    await until(lambda: app.state.laboratory.runs(), "it has begun")
    assert not waiting.done()
    at = f"/lab/experiments/{app.state.laboratory.runs()[0].id}"
    assert (await api.delete(at)).status_code == 204
    await until(waiting.done, "the answer is there")
    answer = await waiting
    assert (answer.status_code, answer.json()["state"]) == (201, "cancelled")
    assert answer.headers["location"] == at
