"""The page without JavaScript: what it says, and that its forms do what they say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI

from app.lifecycle import State
from app.pages import ROOT, ago, size, templates
from app.supervisor import Supervisor
from tests.conftest import VARIANTS
from tests.helpers import Client, until


def supervisor(app: FastAPI) -> Supervisor:
    found: Supervisor = app.state.supervisor
    return found


async def test_an_empty_page_says_what_to_do(api: httpx.AsyncClient) -> None:
    page = (await api.get("/")).text
    assert "Nothing runs yet" in page
    assert "0</b> of 0 servers running" in page


async def test_each_variant_is_there_with_its_lesson_and_source(api: httpx.AsyncClient) -> None:
    page = " ".join((await api.get("/")).text.replace("&#39;", "'").split())
    for variant in VARIANTS.values():
        assert variant.lesson in page
        assert f'href="/variants/{variant.name}/source"' in page


async def test_the_form_starts_a_server(app: FastAPI, api: httpx.AsyncClient) -> None:
    form = {"variant": "blocking", "port": "", "name": "mine", "host": "127.0.0.1", "restart": "always"}
    response = await api.post("/ui/servers", data=form, headers={"origin": "http://localhost:8000"})
    assert (response.status_code, response.headers["location"]) == (303, "/")
    server = supervisor(app).server("mine")
    assert (server.state, server.spec.variant, server.spec.restart) == (State.RUNNING, "blocking", "always")
    page = (await api.get("/")).text
    assert f"127.0.0.1:{server.spec.port}" in page
    assert re.search(r'class="server is-running" id="mine"', page)


async def test_the_buttons_act_on_the_server(app: FastAPI, api: httpx.AsyncClient) -> None:
    await api.post("/ui/servers", data={"variant": "asyncio", "name": "mine"})
    server = supervisor(app).server("mine")
    for action, state, offers in (
        ("stop", State.STOPPED, "Start"),
        ("start", State.RUNNING, "Restart"),
        ("restart", State.RUNNING, "Stop"),
    ):
        assert (await api.post(f"/ui/servers/mine/{action}")).status_code == 303
        assert server.state is state
        assert f"{offers}<span" in (await api.get("/")).text
    assert (await api.post("/ui/servers/mine/remove")).status_code == 303
    assert supervisor(app).servers() == []


async def test_a_refused_form_says_why_and_keeps_what_was_typed(api: httpx.AsyncClient) -> None:
    response = await api.post("/ui/servers", data={"variant": "blocking", "port": "80", "name": "kept"})
    assert response.status_code == 403
    assert "outside the allowed range" in response.text
    assert 'value="80"' in response.text
    assert 'value="kept"' in response.text
    assert '<option value="blocking" selected>' in response.text


@pytest.mark.parametrize("port", ["abc", "9" * 5000, "70000", "-1", "8001.5", "\uff11\uff12", "1e4", " "])
async def test_a_port_that_is_none(api: httpx.AsyncClient, port: str) -> None:
    response = await api.post("/ui/servers", data={"variant": "asyncio", "port": port})
    assert response.status_code == (303 if port == " " else 422)


async def test_a_button_for_a_server_that_is_gone(api: httpx.AsyncClient) -> None:
    response = await api.post("/ui/servers/gone/stop")
    assert response.status_code == 404
    assert "There is no server" in response.text


async def test_who_waits_and_who_is_inside_is_drawn(app: FastAPI, api: httpx.AsyncClient) -> None:
    await api.post("/ui/servers", data={"variant": "blocking", "name": "mine"})
    server = supervisor(app).server("mine")
    async with (
        await Client.to(server.spec.port) as first,
        await Client.to(server.spec.port),
        await Client.to(server.spec.port),
    ):
        await first.send(b"x")
        await until(lambda: server.waiting == 2 and server.tally.open == 1, "one is inside, two wait")
        page = (await api.get("/")).text
    assert "2 waiting · 1 inside" in page
    assert re.search(r'class="queue"[^>]*>(<i></i>){2}</span>', page)
    assert re.search(r'class="inside"[^>]*>(<i></i>){1}</span>', page)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h"), (200_000, "2 d"), (-5, "0 s")]
)
def test_times_are_told_for_people(seconds: float, words: str) -> None:
    assert ago(datetime.now(UTC) - timedelta(seconds=seconds + 0.01)) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (123_456, "123 kB"), (999_600, "1.0 MB"),
     (5 * 10**9, "5.0 GB"), (10**18, "1000000 TB")],
)  # fmt: skip
def test_sizes_are_told_for_people(count: int, words: str) -> None:
    assert size(count) == words


def test_every_template_is_used() -> None:
    written = {path.name for path in (ROOT / "templates").iterdir()}
    code = "\n".join(path.read_text() for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "templates").iterdir()])
    assert {name for name in written if f'"{name}"' not in code} == set()
    assert written == set(templates.env.list_templates())


async def test_everything_a_page_loads_is_served_from_here(api: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        page = (await api.get(path)).text
        found = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert found
        for address in found:
            assert address.startswith("/")
            assert (await api.get(address)).status_code == 200, address
        assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", page)
