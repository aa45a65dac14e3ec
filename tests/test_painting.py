"""What a script keeps up to date looks as the template painted it: every place, element by element."""

from __future__ import annotations

import difflib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from app.web import figures
from app.web.words import words
from tests.browsing import Deck, DeckThatSleeps, eventually, light, live, open_context

STATIC = Path(__file__).parent.parent / "static"

COMPARE = (Path(__file__).parent / "painting.js").read_text()
"""Of each place that a script has taken over: its id, how it is now, and how the template paints it."""

PLACES = {
    "/": {"latest", "lesson"},
    "/ui/servers/mine": {"now-state", "tally", "door", "here", "sheet", "caught", "story", "earlier"},
    "/ui/exceptions": {"caught", "older", "clear"},
    "/ui/loop": {"shares", "thread-shares", "lag-now", "stall-list", "task-sheet", "more-tasks"},
}
"""What is taken over on each page as soon as it lives; rows of servers are besides."""

LATER = {"commands", "nodes"}
"""What stays the template's until something else is due there; `nodes` are there in a fleet only."""


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(clients: ExitStack, server: dict[str, Any], *pieces: bytes) -> socket.socket:
    client = clients.enter_context(socket.create_connection(("127.0.0.1", server["port"]), timeout=10))
    for piece in pieces:
        client.sendall(piece)
        client.recv(100)
    return client


def alike(page: Page, *ids: str) -> None:
    """Every place that was taken over is as the template paints it now; these are among them."""
    found: list[list[Any]] = []

    def same() -> bool:
        found[:] = page.evaluate(COMPARE)
        return set(ids) <= {name for name, _, _ in found} and all(now == first for _, now, first in found)

    def difference() -> str:
        if missing := set(ids) - {name for name, _, _ in found}:
            return f"not taken over: {missing}"
        name, now, first = next(one for one in found if one[1] != one[2])
        return f"{name}:\n" + "\n".join(difflib.unified_diff(first or [], now, "template", "script", lineterm="", n=3))

    eventually(same, difference)


def test_no_place_is_taken_over_but_those_that_are_compared() -> None:
    scripts = [path.read_text() for path in STATIC.rglob("*.js") if "vendor" not in path.parts]
    calls = sum(len(re.findall(r"(?<!function )\bpainted\(", text)) for text in scripts)
    rows = 1
    shared = 1  # the exceptions of all and of one server are two calls with places of one name
    assert calls == len(set().union(*PLACES.values(), LATER)) + rows + shared


@light
def test_the_servers(page: Page, deck: Deck, clients: ExitStack) -> None:
    live(page)
    expect(page.locator("#no-servers")).to_be_visible()
    alike(page, "lesson")
    connect(clients, deck.start("asyncio", name="echo", idle_timeout=60), b"hello\n", b"boom\n")
    blocking = deck.start("blocking", name="queue")
    for _ in range(11):
        connect(clients, blocking)
    connect(clients, deck.start("accept-once", name="once", restart="never"))
    connect(clients, deck.start("accept-once", name="again", restart="always"))
    deck.start("nonblocking", name="never", start=False)
    for name in range(3):
        connect(clients, deck.start("selectors", name=f"more-{name}"))
    expect(page.locator("#server-queue .count")).to_contain_text("10 waiting")
    expect(page.locator("#server-once")).to_contain_text("served its clients and ended")
    servers = [f"server-{one['name']}" for one in deck.rest.get("/servers").json()["items"]]
    assert len(servers) == 8
    alike(page, *PLACES["/"], *servers)


@light
def test_a_server_with_a_few_clients(page: Page, deck: Deck, clients: ExitStack) -> None:
    server = deck.start("asyncio", name="mine")
    connect(clients, server, b"hello\n")
    connect(clients, server, b"boom\n")
    live(page, "/ui/servers/mine")
    expect(page.locator("#caught summary")).to_have_count(1)
    alike(page, *PLACES["/ui/servers/mine"])
    expect(page.locator("#caught")).to_contain_text("has ended")
    deck.rest.post("/servers/mine/stop")
    expect(page.locator("#commands")).to_contain_text("Start")
    alike(page, "commands", *PLACES["/ui/servers/mine"])
    expect(page.locator("#sheet")).to_contain_text("it does not run")


@light
def test_a_server_with_a_queue(page: Page, deck: Deck, clients: ExitStack) -> None:
    server = deck.start("blocking", name="mine")
    for _ in range(43):
        connect(clients, server)
    live(page, "/ui/servers/mine")
    expect(page.locator("#door .standing li")).to_have_count(41)
    expect(page.locator("#door")).to_contain_text("and 2 more behind them")
    alike(page, *PLACES["/ui/servers/mine"])


@light
def test_a_server_with_a_crowd(page: Page, deck: Deck, clients: ExitStack) -> None:
    server = deck.start("threads", name="mine", max_connections=9)
    for _ in range(9):
        connect(clients, server, b"x")
    live(page, "/ui/servers/mine")
    expect(page.locator("#door .crowd i")).to_have_count(9)
    alike(page, *PLACES["/ui/servers/mine"])


@light
def test_a_server_that_nobody_is_connected_to(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    live(page, "/ui/servers/mine")
    expect(page.locator("#sheet")).to_contain_text("or connect any TCP client to 127.0.0.1:")
    alike(page, *PLACES["/ui/servers/mine"])


@light
def test_a_server_that_never_ran(page: Page, deck: Deck) -> None:
    deck.start("selectors", name="mine", start=False)
    live(page, "/ui/servers/mine")
    expect(page.locator("#now-state")).to_contain_text("never ran")
    alike(page, *PLACES["/ui/servers/mine"])


@light
def test_a_server_with_a_long_story(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    for _ in range(18):
        deck.rest.post("/servers/mine/restart")
    live(page, "/ui/servers/mine")
    expect(page.locator("#earlier")).to_contain_text("Earlier")
    alike(page, *PLACES["/ui/servers/mine"])


@light
@pytest.mark.parametrize("raised", [0, 1, 2])
def test_the_exceptions(page: Page, deck: Deck, clients: ExitStack, raised: int) -> None:
    gone = deck.start("asyncio", name="gone")
    for name in ("one", "other")[:raised]:
        server = deck.start("asyncio", name=name)
        connect(clients, server, b"boom\n")
    if raised:
        connect(clients, gone, b"boom\n")
    deck.rest.delete("/servers/gone")
    live(page, "/ui/exceptions")
    expect(page.locator("#caught summary")).to_have_count(raised + (raised > 0))
    alike(page, *PLACES["/ui/exceptions"])
    live(page, "/ui/exceptions?q=nothing-like-it")
    expect(page.locator("#caught .empty")).to_be_visible()
    alike(page, *PLACES["/ui/exceptions"])


def test_the_loop(browser: Browser, complaints: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "servers"
    folder.mkdir()
    deck = DeckThatSleeps(folder)
    context = open_context(browser, deck, complaints)
    page = context.new_page()
    with ExitStack() as clients:
        live(page, "/ui/loop")
        alike(page, *PLACES["/ui/loop"])
        connect(clients, deck.start("blocking", name="apart"))
        connect(clients, deck.start("asyncio", name="mine"))
        assert connect(clients, deck.start("sleeps", name="sleeper")).recv(1) == b""
        expect(page.locator("#stall-list")).to_contain_text("sleeper")
        expect(page.locator("#task-sheet")).to_contain_text("server:apart")
        alike(page, *PLACES["/ui/loop"])
    context.close()
    deck.end()
    assert complaints == []


# Figures

VALUES: dict[str, list[Any]] = {
    "size": [0, 1, 999, 1000, 1050, 99_949, 99_950, 999_499, 999_500, 10**9, 10**15],
    "size_or_nothing": [0, 5, 5000],
    "busy_share": [{}, {"idle": 0.25}, {"app": 0.5, "one": 0.5}],
    "percent": [None, 0, 0.0004, 0.0005, 0.001, 0.0994, 0.0995, 0.5, 1],
    "grouped": [0, 999, 1000, 1_234_567],
    "ms": [0, 0.004, 1.2345, 9.99, 10, 123.4],
    "round_trip": [None, 0, 85, 1234, 123_456],
}


@light
def test_figures_are_written_alike_by_the_app_and_by_the_scripts(page: Page, deck: Deck) -> None:
    live(page)
    for name, values in VALUES.items():
        script = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
        written = page.evaluate(
            f"async (values) => {{ const of = await import('/static/figures.js'); return values.map(of.{script}); }}",
            values,
        )
        assert written == [figures.FILTERS[name](value) for value in values], name
    english = words("en")
    spans = [None, 0, 0.04, 9.94, 9.99, 10, 59, 60, 3599, 3600, 86_399, 86_400, 1e6]
    written = page.evaluate(
        "async (values) => { const of = await import('/static/figures.js'); return values.map(of.idle); }", spans
    )
    assert written == [figures.idle(value, english) for value in spans]
    assert json.dumps(written, ensure_ascii=False).count("h") == 2
