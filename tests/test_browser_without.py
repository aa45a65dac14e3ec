"""Pages that have to do without something: storage, a module, a language tag, an answer to a WebSocket, the app itself."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser_terminals import line, opened, pane, send, status
from tests.browsing import STORAGE_BLOCKED, Deck, connect, eventually, light, live, page_of
from tests.conftest import Program

PATHS = ("/", "/ui/servers/mine", "/ui/loop", "/ui/exceptions", "/ui/lab", "/ui/glass", "/docs")


@light
def test_every_page_is_live_where_storage_is_blocked(page: Page, deck: Deck) -> None:
    page.add_init_script(STORAGE_BLOCKED)
    deck.start("asyncio", name="mine")
    for path in PATHS:
        live(page, path)
    expect(page.locator(".opblock").first).to_be_visible()


@light
def test_what_is_not_stored_is_remembered_as_long_as_the_page_lives(page: Page, deck: Deck) -> None:
    page.add_init_script(STORAGE_BLOCKED)
    live(page)
    page.get_by_role("button", name="Begin the walk").click()
    walk = page.get_by_role("region", name="Guided walk")
    walk.get_by_role("button", name="Skip this step").click()
    expect(walk.get_by_role("heading")).to_have_text("Read until quit, answer, end")
    walk.get_by_role("button", name="Leave the walk").click()
    expect(page.get_by_role("button", name="Go on with step 2")).to_be_visible()
    deck.start("asyncio", name="mine")
    terminal = opened(page, "mine")
    send(terminal, "hello")
    line(terminal).press("ArrowUp")
    expect(line(terminal)).to_have_value("hello")
    terminal.locator("xpath=ancestor::*[@id='terminals']").get_by_role("separator").press("ArrowUp")


@light
def test_charts_are_drawn_where_the_browsers_language_is_no_tag(page: Page, deck: Deck) -> None:
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'language', {get: () => 'C', configurable: true})")
    deck.start("asyncio", name="mine")
    for path in ("/ui/servers/mine", "/ui/loop"):
        live(page, path)
        expect(page.locator(".plot canvas")).to_have_count(2)


@light
@pytest.mark.parametrize(
    ("path", "module", "part"),
    [
        ("/ui/servers/mine", "uPlot.esm.js", "Charts"),
        ("/ui/servers/mine", "glass/live.js", "Calls"),
        ("/ui/loop", "uPlot.esm.js", "Who has it now, Lag"),
        ("/", "walk/walk.js", "Guided walk"),
        ("/ui/exceptions", "exceptions/page.js", "What keeps this page up to date"),
    ],
)
def test_a_module_that_fails_leaves_the_page_live_and_is_named(
    page: Page, deck: Deck, complaints: list[str], path: str, module: str, part: str
) -> None:
    def broken(route: Route) -> None:
        found = route.fetch()
        route.fulfill(response=found, body=f"{found.text()}\nthrow Error('broken');")

    page.route(f"**/{module}", broken)
    server = deck.start("asyncio", name="mine")
    live(page, path)
    expect(page.get_by_role("alert")).to_contain_text(f"A part of this page is missing. {part}: broken.")
    with connect(server["port"], b"x"):
        expect(page.locator("#count-connections")).to_have_text("1")
        if "servers" in path:
            expect(page.locator("#connections tbody tr")).to_have_count(1)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Lab").press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0 if "exceptions" not in path else 1)
    complaints[:] = [one for one in complaints if "broken" not in one]


@light
def test_a_terminal_whose_module_fails_is_named(page: Page, deck: Deck, complaints: list[str]) -> None:
    page.route("**/xterm.mjs", lambda route: route.abort())
    deck.start("asyncio", name="mine")
    live(page)
    page.locator('main [data-terminal="mine"]').first.click()
    expect(page.get_by_role("alert")).to_contain_text("A part of this page is missing. Terminals:")
    complaints.clear()


@light
def test_a_follower_that_fails_does_not_keep_changes_from_the_others(
    page: Page, deck: Deck, complaints: list[str]
) -> None:
    live(page, "/ui/loop")
    page.evaluate(
        "import(new URL('feed.js', document.querySelector('script[type=module][src]').src).href)"
        ".then(({feed}) => { feed.follow(() => { throw Error('broken'); }); })"
    )
    page.get_by_role("link", name="Servers", exact=True).click()
    deck.start("asyncio", name="mine")
    expect(page.locator("#server-mine .state")).to_contain_text("running")
    assert any("broken" in one for one in complaints)
    complaints[:] = [one for one in complaints if "broken" not in one]


@contextmanager
def handshakes_unanswered(port: int) -> Iterator[str]:
    """A proxy before this port of ours that lets HTTP pass, and never answers the handshake of a WebSocket."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        head = b""
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as app:
            held.extend((client, app))
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(65536)):
                    return
                head += data
            if b"upgrade: websocket" in head.lower():
                client.recv(1)  # until the browser gives up
                return
            # One request a connection: another may be a handshake.
            app.sendall(re.sub(rb"(?i)connection: keep-alive", b"Connection: close", head))
            threading.Thread(target=copy, args=(client, app), daemon=True).start()
            copy(app, client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    for one in held:
        one.close()


def test_a_handshake_that_is_never_answered_leads_to_server_sent_events(browser: Browser, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    with handshakes_unanswered(deck.program.port) as url:
        page = browser.new_context(base_url=url, locale="en-US").new_page()
        page.clock.install()
        page.goto("/")
        expect(page.locator("#live")).to_have_attribute("data-status", "connecting")
        page.clock.fast_forward(10_000)
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
        deck.start("asyncio", name="other")
        expect(page.locator("#server-other .state")).to_contain_text("running")
        page.get_by_role("link", name="Exceptions", exact=True).click()
        expect(page).to_have_url(re.compile("/ui/exceptions"))
        page.clock.fast_forward(1000)  # the next handshake is not waited for as long
        page.get_by_role("link", name="Servers", exact=True).click()
        deck.start("asyncio", name="another")
        page.clock.fast_forward(1000)
        expect(page.locator("#server-another .state")).to_contain_text("running")
        page.locator('main [data-terminal="mine"]').first.click()
        terminal = pane(page, "mine #1")
        expect(status(terminal)).to_have_text("connecting")
        page.clock.fast_forward(12_000)
        expect(status(terminal)).to_contain_text("a proxy on the way may hold it back")
        page.context.close()


@dataclass
class Away:
    """A page that went from Servers to Loop, there to its stalls, and to Exceptions, and its app."""

    page: Page
    app: Program
    start_again: Callable[[], Program]


@pytest.fixture
def away(browser: Browser, program: Callable[..., Program], tmp_path: Path) -> Iterator[Away]:
    options = ("--state", str(tmp_path / "state.sqlite3"))
    running = program(*options)
    page = live(page_of(browser, running, "mine"))
    pages = page.get_by_role("navigation", name="Pages")
    pages.get_by_role("link", name="Loop").click()
    expect(page.locator("#shares")).to_contain_text("mine")
    page.locator("#lag-now a[href='#stalls']").click()
    expect(page).to_have_url(re.compile("#stalls$"))
    with page.expect_response(re.compile(r"/exceptions\?")):  # its script is there
        pages.get_by_role("link", name="Exceptions").click()
    yield Away(page, running, lambda: program(*options, "--port", str(running.port)))
    page.context.close()


def test_going_back_while_the_app_is_away_changes_neither_page_nor_address(away: Away) -> None:
    page = away.page
    away.app.end()
    expect(page.locator("#live")).to_have_attribute("data-status", "lost")
    for steps in (-1, -3):
        page.evaluate("(steps) => history.go(steps)", steps)
        expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
        expect(page).to_have_url(re.compile("/ui/exceptions$"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Exceptions")
        page.get_by_role("button", name="Dismiss").click()
    away.start_again()
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    page.evaluate("history.back()")
    expect(page).to_have_url(re.compile("/ui/loop#stalls$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("The loop")
    page.evaluate("history.forward()")
    expect(page).to_have_url(re.compile("/ui/exceptions$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Exceptions")


@light
def test_a_page_that_comes_late_is_not_shown_at_another_address(page: Page, deck: Deck) -> None:
    live(page)
    pages = page.get_by_role("navigation", name="Pages")
    for name, heading in (("Loop", "The loop"), ("Exceptions", "Exceptions")):
        pages.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    late: list[Route] = []
    page.route(re.compile("/ui/loop$"), lambda route: late.append(route))
    page.evaluate("history.back()")
    eventually(lambda: page.title() and late, lambda: "the page is not fetched")
    page.evaluate("history.forward()")
    expect(page).to_have_url(re.compile("/ui/exceptions$"))
    with page.expect_request_finished(lambda request: request.url.endswith("/ui/loop")):
        late[0].continue_()
    page.evaluate("new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)))")
    expect(page.get_by_role("heading", level=1)).to_have_text("Exceptions")


@light
def test_the_page_stays_where_a_proxy_says_that_the_app_is_away(page: Page, deck: Deck, complaints: list[str]) -> None:
    live(page)
    page.get_by_role("link", name="Loop", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The loop")
    page.route(re.compile("/$"), lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    page.evaluate("history.back()")
    expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
    expect(page).to_have_url(re.compile("/ui/loop$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("The loop")
    complaints[:] = [one for one in complaints if "502" not in one]


CUT = """() => [...document.querySelectorAll("input[placeholder]")].filter((one) => one.checkVisibility()).filter((one) => {
  const {value} = one;
  one.value = one.placeholder;
  const cut = one.scrollWidth > one.clientWidth;
  one.value = value;
  return cut;
}).map((one) => `${one.placeholder} in ${one.clientWidth} px`)"""


@light
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_a_field_is_for_is_not_cut(page: Page, deck: Deck, language: str) -> None:
    for number in range(5):
        deck.start("asyncio", name=f"mine{number}", start=number == 0)
    page.goto(f"/ui/choose?language={language}")
    for width in (1400, 320):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/", "/ui/servers/mine0", "/ui/exceptions", "/ui/lab"):
            live(page, path)
            page.locator("details").evaluate_all("(all) => { for (const one of all) one.open = true; }")
            assert page.evaluate(CUT) == [], f"{path} at {width} px"
        page.goto("/")
        page.locator('main [data-terminal="mine0"]').first.click()
        expect(page.locator(".pane .line input")).to_be_visible()
        assert page.evaluate(CUT) == [], f"a terminal at {width} px"
