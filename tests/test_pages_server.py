"""The pages of a server, of exceptions and of the loop, without JavaScript: what they say, and what their forms do."""

from __future__ import annotations

import re
import time
from html import unescape

import httpx
import pytest

from app.pages import source
from app.settings import Settings
from app.shapes.loop import PlaceShape
from app.supervising.lifecycle import State
from app.supervising.supervisor import Supervisor
from tests.conftest import VARIANTS, Start
from tests.helpers import PATIENCE, Client, until


async def text_of(api: httpx.AsyncClient, path: str, status: int = 200) -> str:
    """What a reader sees of a page, in one line."""
    answer = await api.get(path)
    assert answer.status_code == status, answer.text
    return words_of(answer.text)


def words_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


# A server's page


async def test_it_says_who_the_server_is_and_how_it_fares(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking", name="mine")
    page = await text_of(api, "/ui/servers/mine")
    assert "mine Many clients, one at a time variant blocking · on a thread of its own" in page
    assert re.search(rf"running \d s 127.0.0.1:{server.spec.port} task server:mine", page)
    assert "waiting 0 inside 0 at most at once 0 let in so far 0 turned away 0 bytes in 0 B bytes out 0 B" in page
    assert "Nobody waits." in page
    assert "Nobody is inside." in page


async def test_who_waits_stands_in_the_queue_and_who_is_inside_is_inside(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("blocking", name="mine")
    async with await Client.to(server.spec.port) as first, await Client.to(server.spec.port) as second:
        await second.send(b"abc")
        await until(lambda: server.waiting == 1 and server.tally.open == 1, "one is in, one waits")
        ours, theirs = (":".join(map(str, one.socket.getsockname())) for one in (first, second))
        deadline = time.monotonic() + PATIENCE
        while "3 B unread" not in (page := await text_of(api, "/ui/servers/mine")):
            assert time.monotonic() < deadline, page
    assert re.search(rf"Outside 1 .*{theirs} \d s · 3 B unread Inside 1 accepted: being served {ours} \d s", page)
    assert re.search(rf"{ours} inside \d+-\d+ ", page)
    assert re.search(rf"{theirs} waiting \d+-\d+ .* 3 B . . ", page)


async def test_a_crowd_is_counted_beyond_the_first_hundred(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio", name="mine")
    clients = [await Client.to(server.spec.port) for _ in range(103)]
    await until(lambda: server.tally.open == 103, "all are inside")
    page = await text_of(api, "/ui/servers/mine")
    assert "the first 100 of 103" in page
    assert "inside 103" in page
    for client in clients:
        await client.close()


async def test_an_exception_is_told_with_its_input_and_nothing_in_it_is_markup(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    async def serve(listener: object, options: object) -> None:
        raise RuntimeError("<script>alert(1)</script>")

    server = await begin(serve, name="mine", restart="never")
    await until(lambda: server.state is State.CRASHED, "it crashed")
    for path in ("/ui/servers/mine", "/ui/exceptions"):
        page = (await api.get(path)).text
        assert "<script>alert" not in page
        assert "RuntimeError <script>alert(1)</script> the server died of it" in words_of(page)
        assert "Traceback (most recent call last):" in page
    assert "RuntimeError: <script>alert(1)</script>" in await text_of(api, "/ui/servers/mine")


async def test_the_line_where_it_is_is_marked_in_its_source(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio", name="mine")
    async with await Client.to(server.spec.port) as one, await Client.to(server.spec.port) as other:
        await one.ask(b"x", b"x")
        await other.ask(b"x", b"x")
        page = (await api.get("/ui/servers/mine")).text
    marked = {words_of(line).strip() for line in re.findall(r'<li id="L\d+"[^>]*class="is-here">.*', page)}
    assert marked == {
        "while data := await loop . sock_recv ( connection , options . recv_size ): 2 tasks wait here",
        "connection , address = await loop . sock_accept ( listener ) one task waits here",
    }


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_the_coloured_source_is_the_source(variant: object) -> None:
    text = getattr(variant, "source", "")
    lines = source.coloured_lines(text)
    assert [unescape(re.sub(r"<[^>]+>", "", line)) for line in lines] == text.splitlines()
    assert all(line.count("<span") == line.count("</span") for line in lines)


async def test_the_past_is_told_page_by_page(api: httpx.AsyncClient, watched: Supervisor, begin: Start) -> None:
    await begin("asyncio", name="mine")
    for number in range(35):
        watched.chronicle.note("mine", f"said {number}.")
    page = (await api.get("/ui/servers/mine")).text
    assert "said 34." in page
    assert "said 4." not in page
    (earlier,) = re.findall(r'href="(/ui/servers/mine\?earlier=[^"#]+)', page)
    page = (await api.get(earlier)).text
    assert "said 4." in page
    assert "was created" in page
    assert "said 34." not in page
    assert (await api.get("/ui/servers/mine?earlier=bogus")).status_code == 422


async def test_settings_are_changed(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("asyncio", name="mine", max_connections=3)
    form = {"restart": "always", "backlog": "7", "max_connections": "", "idle_timeout": "2.5", "nodelay": "False"}
    answer = await api.post("/ui/servers/mine/change", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/servers/mine#settings")
    spec = server.spec
    assert (spec.restart, spec.backlog, spec.max_connections, spec.idle_timeout) == ("always", 7, None, 2.5)
    assert spec.nodelay is False
    page = (await api.get("/ui/servers/mine")).text
    assert 'name="backlog" value="7"' in page
    assert '<option value="always" selected>' in page
    assert "was changed" in page


async def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_is_kept(
    api: httpx.AsyncClient, begin: Start
) -> None:
    server = await begin("asyncio", name="mine")
    answer = await api.post("/ui/servers/mine/change", data={"backlog": "many", "recv_size": "5"})
    assert answer.status_code == 422
    assert re.search(
        r'name="backlog" value="many"[^>]*aria-invalid="true" aria-describedby="wrong-backlog">'
        r'<span class="wrong" id="wrong-backlog" role="alert">Give a whole number',
        answer.text,
    )
    assert 'name="recv_size" value="5"' in answer.text
    assert server.spec.recv_size == 65536


async def test_where_it_listens_changes_only_while_it_is_stopped(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    server = await begin("asyncio", name="mine")
    assert re.search(r'<fieldset class="fields" id="place" disabled>', (await api.get("/ui/servers/mine")).text)
    answer = await api.post("/ui/servers/mine/change", data={"variant": "blocking"})
    assert answer.status_code == 409
    assert "variant can change only while the server is stopped" in answer.text
    await watched.stop("mine")
    assert '<fieldset class="fields" id="place">' in (await api.get("/ui/servers/mine")).text
    assert (await api.post("/ui/servers/mine/change", data={"variant": "blocking"})).status_code == 303
    assert server.spec.variant == "blocking"


async def test_its_buttons_act_and_lead_back_to_its_page(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    server = await begin("asyncio", name="mine")
    for action, state in (("stop", State.STOPPED), ("start", State.RUNNING), ("restart", State.RUNNING)):
        answer = await api.post("/ui/servers/mine/act", data={"action": action, "drain": "0"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/servers/mine")
        assert server.state is state
    answer = await api.post("/ui/servers/mine/act", data={"action": "remove"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert watched.servers() == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"action": "dance"}, 404),
        ({"action": "stop", "drain": "soon"}, 422),
        ({"action": "stop", "drain": "9999"}, 422),
    ],
)
async def test_what_cannot_be_done_is_said_on_its_page(
    api: httpx.AsyncClient, begin: Start, data: dict[str, str], status: int
) -> None:
    server = await begin("asyncio", name="mine")
    answer = await api.post("/ui/servers/mine/act", data=data)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert '<h1 translate="no">mine</h1>' in answer.text
    assert server.state is State.RUNNING


@pytest.mark.parametrize("path", ["", "/change", "/act"])
async def test_a_server_that_there_is_not(api: httpx.AsyncClient, path: str) -> None:
    answer = await (api.post(f"/ui/servers/gone{path}") if path else api.get("/ui/servers/gone"))
    assert answer.status_code == 404
    assert "There is no server 'gone'." in unescape(answer.text)
    assert 'href="/"' in answer.text


GUARDED = Settings.model_validate(
    {"state": ":memory:", "token": "an-owner's-token", "viewer_token": "a-viewer's-token"}
)


@pytest.mark.parametrize("settings", [GUARDED])
async def test_who_may_only_look_is_offered_nothing_to_change(api: httpx.AsyncClient, begin: Start) -> None:
    await begin("asyncio", name="mine")
    for token, offered in (("an-owner's-token", True), ("a-viewer's-token", False)):
        api.headers["authorization"] = f"Bearer {token}"
        for path, words in (
            ("/ui/servers/mine", ('id="commands"', 'id="settings-form"')),
            ("/ui/exceptions", ('id="clear"',)),
        ):
            page = (await api.get(path)).text
            assert [one in page for one in words] == [offered] * len(words)
            assert ("data-viewer" in page) == (not offered)
    assert (await api.post("/ui/servers/mine/change", data={"backlog": "5"})).status_code == 403
    assert (await api.post("/ui/exceptions/clear")).status_code == 403


# Exceptions


async def raised(api: httpx.AsyncClient, begin: Start, *names: str) -> None:
    for name in names:
        server = await begin("asyncio", name=name)
        async with await Client.to(server.spec.port) as client:
            await client.send(b"boom\n")
            await client.rest()


async def test_exceptions_are_sifted_by_server_type_and_text(api: httpx.AsyncClient, begin: Start) -> None:
    assert "No exception yet." in await text_of(api, "/ui/exceptions")
    await raised(api, begin, "one", "other")
    shown = re.compile(r'class="caught" id="exception-(\d+)"')
    for query, ids in (
        ("", ["2", "1"]), ("?server=one", ["1"]), ("?type=RuntimeError&server=other", ["2"]), ("?type=OSError", []),
        ("?q=BOOM", ["2", "1"]), ("?q=b%27boom", ["2", "1"]), ("?q=nothing", []), ("?server=nobody", []),
    ):  # fmt: skip
        page = (await api.get(f"/ui/exceptions{query}")).text
        assert shown.findall(page) == ids, query
        assert ("None is like that." in page) == (ids == [])
        rest = await api.get(f"/exceptions{query}")
        assert (rest.status_code == 404) == ("nobody" in query)
        assert [one["id"] for one in rest.json().get("items", [])] == ids


async def test_earlier_exceptions_are_told_page_by_page(
    api: httpx.AsyncClient, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pages.exceptions.AT_ONCE", 2)
    await raised(api, begin, "one", "two", "three")
    page = unescape((await api.get("/ui/exceptions?type=RuntimeError")).text)
    assert re.findall(r'id="exception-(\d+)"', page) == ["3", "2"]
    (older,) = re.findall(r'href="(/ui/exceptions\?type=RuntimeError&after=[^"]+)"', page)
    page = (await api.get(older)).text
    assert re.findall(r'id="exception-(\d+)"', page) == ["1"]
    assert "after=" not in page


async def test_exceptions_are_cleared_of_one_server_or_of_all(api: httpx.AsyncClient, begin: Start) -> None:
    await raised(api, begin, "one", "other")
    assert "Clear those of one" in await text_of(api, "/ui/exceptions?server=one")
    assert (await api.post("/ui/exceptions/clear", data={"server": "one"})).status_code == 303
    page = await text_of(api, "/ui/exceptions")
    assert "RuntimeError boom other once" in page
    assert "RuntimeError boom one" not in page
    assert (await api.post("/ui/exceptions/clear", data={})).status_code == 303
    assert "No exception yet." in await text_of(api, "/ui/exceptions")


async def test_of_a_server_that_is_gone_no_page_is_linked(
    api: httpx.AsyncClient, watched: Supervisor, begin: Start
) -> None:
    await raised(api, begin, "one")
    assert '<a href="/ui/servers/one">one</a>' in (await api.get("/ui/exceptions")).text
    await watched.remove("one")
    page = (await api.get("/ui/exceptions")).text
    assert '<a href="/ui/servers/one">one</a>' not in page
    assert "RuntimeError" in page


def test_a_variants_own_frames_are_told_apart() -> None:
    own = '  File "/x/servers/step_7_asyncio.py", line 3, in echo\n    raise RuntimeError\n    ^^^^^^^^\n'
    witness = '  File "/x/servers/_witness.py", line 3, in recv\n    data = 1\n'
    first, last = "Traceback (most recent call last):\n", 'RuntimeError: File "/x/servers/step_1.py", line 1\n'
    assert list(source.frames(first + witness + own + last)) == [(False, first + witness), (True, own), (False, last)]
    assert list(source.frames("")) == []


def test_a_stack_is_at_its_variants_innermost_line() -> None:
    def at(file: str) -> PlaceShape:
        return PlaceShape(file=file, line=1, function="f", code="")

    own, library, witness = at("/x/servers/step_7.py"), at("/lib/asyncio/x.py"), at("/x/servers/_witness.py")
    assert source.place_of([library, own, witness]) is own
    assert source.place_of([library, witness]) is witness
    assert source.place_of([]) is None


# The loop


async def test_the_loop_is_divided_among_its_servers(api: httpx.AsyncClient, begin: Start) -> None:
    quiet, apart = await begin("selectors", name="quiet"), await begin("blocking", name="apart")
    async with await Client.to(quiet.spec.port) as client, await Client.to(apart.spec.port):
        await until(lambda: apart.tally.open == 1, "its thread serves")
        page = ""
        while "Who has it now quiet" not in page:  # a share that rounds to nothing is not listed
            await client.send(b"x" * 1000)
            await client.receive(1000)
            page = await text_of(api, "/ui/loop")
    assert re.search(r"Who has it now quiet [\d.]+ % this page and its watching [\d.]+ % nobody", page)
    assert re.search(r"Servers on threads of their own .* of one processor", page)
    assert re.search(r"server:quiet quiet .* step_5_selectors.py:\d+", page)
    assert re.search(r"server:apart apart .* step_3_blocking.py:\d+", page)


async def test_the_tasks_of_one_server_can_be_had_alone(api: httpx.AsyncClient, begin: Start) -> None:
    await begin("asyncio", name="one")
    await begin("asyncio", name="other")
    page = (await api.get("/ui/loop?server=one")).text
    assert "server:one</td>" in page
    assert "server:other</td>" not in page
