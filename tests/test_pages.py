"""The page without JavaScript: what it says, and that its forms do what they say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest
from fastapi import FastAPI

from app.pages.page import ROOT, templates
from app.settings import Settings
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from app.web.figures import percent, size, span
from app.web.words import words
from tests.conftest import VARIANTS, Start
from tests.helpers import Client, until


def supervisor(app: FastAPI) -> Supervisor:
    found: Supervisor = app.state.supervisor
    return found


async def test_an_empty_page_says_what_to_do(api: httpx.AsyncClient) -> None:
    page = (await api.get("/")).text
    assert "No server yet" in page
    assert re.search(r'id="walk-offer"[^>]*aria-labelledby="offer-title">', page)


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
    assert re.search(r'class="room is-running" id="server-mine"', page)


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


@pytest.mark.parametrize(
    ("path", "to"),
    [("/ui/servers", "/"), ("/ui/servers/mine/act", "/ui/servers/mine"), ("/ui/servers/a%0d/x", "/ui/servers/a%0D")],
)
async def test_the_address_of_a_form_leads_back_to_its_page(api: httpx.AsyncClient, path: str, to: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, to)


async def test_a_lost_browser_gets_a_page_and_a_program_a_problem(api: httpx.AsyncClient) -> None:
    browser = await api.get("/nowhere", headers={"accept": "text/html,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["content-type"]) == (404, "text/html; charset=utf-8")
    program = await api.get("/nowhere")
    assert (program.status_code, program.headers["content-type"]) == (404, "application/problem+json")


async def test_a_refused_form_says_why_and_keeps_what_was_typed(api: httpx.AsyncClient) -> None:
    response = await api.post("/ui/servers", data={"variant": "blocking", "port": "80", "name": "kept"})
    assert response.status_code == 403
    assert "outside the allowed range" in response.text
    assert 'value="80"' in response.text
    assert 'value="kept"' in response.text
    assert re.search(r'<option value="blocking"[^>]* selected>', response.text)


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
    assert "<b>2</b> waiting · <b>1</b> inside" in page
    assert re.search(r'class="queue"[^>]*>(<i></i>){2}</span>', page)
    assert re.search(r'class="inside"[^>]*>(<i></i>){1}</span>', page)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h"), (200_000, "2 d"), (-5, "0 s")]
)
def test_times_are_told_for_people(seconds: float, told: str) -> None:
    now = datetime.now(UTC)
    assert span(now - timedelta(seconds=seconds + 0.01), now, words("en")) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [(0, "0 %"), (0.004, "0.4 %"), (0.0994, "9.9 %"), (0.0996, "10 %"), (0.987, "99 %"), (1, "100 %")],
)
def test_shares_are_told_for_people(share: float, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (123_456, "123 kB"), (999_600, "1.0 MB"),
     (5 * 10**9, "5.0 GB"), (10**18, "1000000 TB")],
)  # fmt: skip
def test_sizes_are_told_for_people(count: int, words: str) -> None:
    assert size(count) == words


def test_every_template_is_used() -> None:
    files = list((ROOT / "templates").glob("*.html"))
    written = {path.name for path in files}
    code = "\n".join(path.read_text() for path in [*(ROOT / "app").rglob("*.py"), *files])
    assert {name for name in written if f'"{name}"' not in code} == set()
    assert written == set(templates())


PAGES = ("/", "/ui/exceptions", "/ui/loop", "/docs", "/ui/servers/mine")


async def test_everything_a_page_loads_is_served_from_here(api: httpx.AsyncClient) -> None:
    await api.post("/servers", json={"variant": "blocking", "port": 0, "name": "mine"})
    for path in PAGES:
        page = (await api.get(path)).text
        found = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert found
        for address in found:
            assert address.startswith(("/", "#"))
            if address.startswith("/"):
                assert (await api.get(unescape(address))).status_code in (200, 303), address
        assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", page)


def test_every_module_a_script_imports_is_there() -> None:
    static = ROOT / "static"
    for script in static.rglob("*.js"):
        if "vendor" not in script.parts:
            for target in re.findall(r'(?:from|import\()\s*"([^"]+)"', script.read_text()):
                place = static / target.removeprefix("/static/") if target.startswith("/") else script.parent / target
                assert place.is_file(), f"{script.name} imports {target}"


def test_every_stylesheet_and_module_is_used() -> None:
    static = ROOT / "static"
    code = "\n".join(path.read_text() for folder in ("templates", "static", "app/pages") for path in (ROOT / folder).rglob("*.*")
                     if "vendor" not in path.parts and path.suffix in {".html", ".js", ".py"})  # fmt: skip
    for path in static.rglob("*"):
        if path.suffix in {".js", ".css"} and "vendor" not in path.parts:
            names = (f"{path.parent.name}/{path.name}", f"./{path.name}", f"static() }}}}/{path.name}")
            assert any(name in code for name in names), path


async def test_what_never_changes_is_kept_and_text_is_compressed(api: httpx.AsyncClient) -> None:
    page = (await api.get("/")).text
    found = re.findall(r'(?:src|href)="([^"]*(?:/static/|style\.css)[^"]*)"', page)
    assert len(found) == 3
    for address in map(unescape, found):
        answer = await api.get(address, headers={"accept-encoding": "gzip"})
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        plain = await api.get(address, headers={"accept-encoding": "identity"})
        assert answer.text == plain.text
        if len(plain.content) > 1000:
            assert answer.headers["content-encoding"] == "gzip"
            assert "accept-encoding" in answer.headers["vary"].lower()
    other = re.sub(r"/static/\w+/", "/static/", found[-1])
    assert (await api.get(other)).headers["cache-control"] == "no-cache"
    assert (await api.get(re.sub(r"/static/\w+/", "/static/0123456789ab/", found[-1]))).status_code == 404
    assert (await api.get("/ui/style.css?build=other")).headers["cache-control"] == "no-cache"
    assert (await api.get("/servers")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/ui/servers/gone", "/ui/servers/gone/stop"])
async def test_what_a_reader_asks_in_vain_is_answered_with_a_page(api: httpx.AsyncClient, path: str) -> None:
    answer = await (api.post(path) if path.endswith("stop") else api.get(path))
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no server" in answer.text


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "../etc", "a b", "'\""])
async def test_a_server_name_with_markup_is_shown_as_text(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.post("/ui/servers", data={"variant": "asyncio", "name": name})
    assert answer.status_code == 422
    assert "<img" not in answer.text
    assert name in unescape(answer.text)


async def test_what_exceptions_say_is_shown_as_text(api: httpx.AsyncClient, begin: Start) -> None:
    markup = "<script>alert(1)</script>"

    async def serve(listener: object, options: object) -> None:
        raise RuntimeError(markup)

    server = await begin(serve, name="mine", restart="never")
    await until(lambda: server.exceptions == 1, "it raised")
    page = (await api.get("/")).text
    assert markup not in page
    assert "RuntimeError: &lt;script&gt;alert(1)&lt;/script&gt;" in page


async def test_a_reader_chooses_language_and_theme(api: httpx.AsyncClient) -> None:
    assert '<html lang="en" data-theme="auto">' in (await api.get("/")).text
    answer = await api.get("/ui/choose?language=zh&theme=dark&back=/ui/loop")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/loop")
    api.cookies.update(answer.cookies)
    assert '<html lang="zh" data-theme="dark">' in (await api.get("/")).text


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil"])
async def test_a_choice_leads_back_to_us_only(api: httpx.AsyncClient, back: str) -> None:
    assert (await api.get("/ui/choose", params={"back": back})).headers["location"] == "/"


GUARDED = Settings(state=":memory:", token="t", viewer_token="v")


@pytest.mark.parametrize("settings", [GUARDED])
async def test_a_viewer_is_offered_nothing_that_changes_something(api: httpx.AsyncClient, settings: Settings) -> None:
    await api.post("/servers", json={"variant": "blocking", "port": 0}, headers={"authorization": "Bearer t"})
    page = (await api.get("/", headers={"authorization": "Bearer v"})).text
    assert "data-viewer" in page
    for offer in ("data-action", "data-terminal", 'id="start"', "data-walk", 'action="/ui/servers'):
        assert offer not in page, offer
