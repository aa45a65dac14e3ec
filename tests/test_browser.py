"""The dashboard in a real Chromium: it lives, complains of nothing, and anybody can use it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browsing import Deck, eventually, light, live, open_context, refused, serious
from tests.conftest import Program


def connect(port: int, data: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(data)
    return client


def test_a_newcomer_starts_stops_and_removes_a_server(page: Page) -> None:
    live(page)
    form = page.get_by_role("form", name="Start a server")
    form.get_by_label("Variant").select_option("blocking")
    expect(form).to_contain_text("Many clients, one at a time")
    form.get_by_text("More settings").click()
    form.get_by_label("Name").fill("first")
    form.get_by_role("button", name="Start").click()
    room = page.locator("#server-first")
    expect(room.locator(".state")).to_contain_text("running")
    expect(room).to_contain_text("0 waiting · 0 inside")
    expect(page.locator("#count-servers")).to_have_text("1")
    room.get_by_role("button", name="Stop first").click()
    expect(room.locator(".state")).to_contain_text("stopped")
    room.get_by_role("button", name="Start first").click()
    expect(room.locator(".state")).to_contain_text("running")
    room.get_by_role("button", name="Stop first").click()
    room.get_by_role("button", name="Remove first").click()
    expect(room).to_have_count(0)
    expect(page.locator("#latest")).to_contain_text("first was removed")
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


@light
def test_a_removal_can_be_undone(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine", max_connections=7, start=False)
    live(page)
    page.get_by_role("button", name="Remove mine").click()
    expect(page.locator("#server-mine")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#server-mine .state")).to_contain_text("stopped")
    assert deck.server("mine")["spec"]["max_connections"] == 7


@light
def test_each_variant_has_a_button_of_its_own(page: Page) -> None:
    live(page)
    page.get_by_role("button", name="Start selectors").click()
    expect(page.locator(".room").first).to_contain_text("selectors-")


def test_what_is_wrong_is_said_beside_the_field(page: Page, complaints: list[str]) -> None:
    live(page)
    form = page.get_by_role("form", name="Start a server")
    for port, words in (("80", "outside the allowed range"), ("abc", "whole number"), ("70000", "less than or equal")):
        form.get_by_label("Port").fill(port)
        form.get_by_role("button", name="Start").click()
        expect(form.locator(".wrong")).to_contain_text(words)
        expect(form.get_by_label("Port")).to_be_focused()
        expect(form.get_by_label("Port")).to_have_value(port)
    assert serious(page) == []
    form.get_by_label("Port").fill("")
    form.get_by_role("button", name="Start").click()
    expect(page.locator(".room")).to_have_count(1)
    expect(form.locator(".wrong")).to_have_count(0)
    refused(complaints, 3)


@light
def test_a_taken_port_names_who_has_it(page: Page, deck: Deck, complaints: list[str]) -> None:
    holder = deck.start("asyncio", name="holder")
    live(page)
    form = page.get_by_role("form", name="Start a server")
    form.get_by_label("Port").fill(str(holder["port"]))
    form.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("the server 'holder'")
    refused(complaints, 1)


def test_a_connection_is_seen_the_moment_it_exists(page: Page, deck: Deck) -> None:
    server = deck.start("blocking", name="mine")
    live(page)
    room = page.locator("#server-mine")
    with ExitStack() as stack:
        first = stack.enter_context(connect(server["port"], b"hello\n"))
        expect(room).to_contain_text("0 waiting · 1 inside")
        expect(room.locator(".inside i")).to_have_count(1)
        second = stack.enter_context(connect(server["port"], b"x"))
        expect(room).to_contain_text("1 waiting · 1 inside")
        expect(room.locator(".queue i")).to_have_count(1)
        first.sendall(b"quit\n")
        assert first.recv(99) == b"hello\nquit\n"
        expect(room).to_contain_text("0 waiting · 1 inside")
        second.close()
        expect(room).to_contain_text("0 waiting · 0 inside")


def test_an_exception_appears_with_its_message_and_input_and_hurts_nobody_else(page: Page, deck: Deck) -> None:
    server = deck.start("asyncio", name="mine")
    live(page)
    room = page.locator("#server-mine")
    with connect(server["port"], b"hi\n") as other, connect(server["port"], b"boom\n") as one:
        assert one.recv(9) == b""
        expect(room.locator(".trace")).to_contain_text("1 exception")
        expect(room.locator(".trace")).to_contain_text("RuntimeError: boom")
        expect(room.locator(".trace")).to_contain_text(r"b'boom\n'")
        expect(room).to_contain_text("0 waiting · 1 inside")
        assert other.recv(9) == b"hi\n"
    assert serious(page) == []


SHAPE = """(element) => {
  const moves = (one) => one.matches("time, path, rect, .share b");
  const words = (text) => text.replace(/\\s+/g, " ").trim();
  const show = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return words(node.textContent);
    const attributes = [...node.attributes].filter(({name}) => !["d", "width"].includes(name));
    const told = attributes.map(({name, value}) => `${name}=${value.replace("+00:00", "Z")}`).sort().join(" ");
    const inner = moves(node) ? [] : [...node.childNodes].map(show);
    return `<${node.localName} ${told}>${inner.filter(Boolean).join(" ")}`;
  };
  const clone = element.cloneNode(true);
  const comments = document.createTreeWalker(clone, NodeFilter.SHOW_COMMENT);
  const found = [];
  while (comments.nextNode()) found.push(comments.currentNode);
  for (const one of found) one.remove();
  clone.normalize();
  return show(clone);
}"""


def test_the_first_paint_and_the_live_page_show_the_same(page: Page, deck: Deck) -> None:
    """The template paints a row once, the script each time it changes."""
    server = deck.start("asyncio", name="mine", restart="never")
    deck.start("accept-once", name="over")
    with connect(server["port"], b"boom\n") as one:
        assert one.recv(9) == b""
    connect(deck.server("over")["port"]).close()
    with connect(server["port"], b"hello\n"):
        live(page)
        expect(page.locator("#server-over .state")).to_contain_text("exited")
        for name in ("mine", "over"):
            context = page.context.browser.new_context(java_script_enabled=False) if page.context.browser else None
            assert context is not None
            plain = context.new_page()
            plain.goto(deck.url)
            painted = plain.locator(f"#server-{name}").evaluate(SHAPE)
            context.close()
            deck.rest.patch(f"/servers/{name}", json={"backlog": 99})
            expect(page.locator("#latest")).to_contain_text(f"{name} was changed")
            assert page.locator(f"#server-{name}").evaluate(SHAPE).split("<") == painted.split("<")


@light
def test_servers_are_found_by_words(page: Page, deck: Deck) -> None:
    for number in range(6):
        deck.start("asyncio" if number % 2 else "blocking", name=f"room{number}", start=number != 3)
    live(page)
    page.get_by_label("Find a server").fill("asyncio stopped")
    expect(page.locator(".room:visible")).to_have_count(1)
    expect(page.locator("#server-room3")).to_be_visible()
    expect(page.locator("#found")).to_have_text("1 found")
    page.get_by_label("Find a server").fill("")
    expect(page.locator(".room:visible")).to_have_count(6)


@light
def test_going_from_page_to_page_stays_in_the_document(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    live(page)
    page.evaluate("window.sameDocument = true")
    pages = page.get_by_role("navigation", name="Pages")
    for name, path in (("Exceptions", "/ui/exceptions"), ("Loop", "/ui/loop"), ("Servers", "/")):
        pages.get_by_role("link", name=name).click()
        expect(pages.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
        expect(page).to_have_url(re.compile(rf"{path}$"))
        assert page.evaluate("window.sameDocument")
    page.locator("#server-mine h3 a").click()
    expect(page).to_have_title(re.compile("mine"))
    page.go_back()
    expect(page.locator("#server-mine .state")).to_contain_text("running")
    assert page.evaluate("window.sameDocument")


@light
def test_who_goes_back_is_where_he_was(page: Page, deck: Deck) -> None:
    for name in range(20):
        deck.start("asyncio", name=f"server-{name}")
    live(page)
    page.evaluate("scrollTo(0, 700)")
    page.locator("#server-server-12 h3 a").click()
    expect(page).to_have_title(re.compile("server-12"))
    page.go_back()
    expect(page.locator("#server-server-12 .state")).to_contain_text("running")
    assert abs(page.evaluate("scrollY") - 700) < 100


@light
def test_an_address_that_is_none_is_a_page_too(page: Page, complaints: list[str]) -> None:
    live(page, "/nowhere")
    expect(page.get_by_role("heading", name="There is no such thing")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("There is nothing at /nowhere.")
    refused(complaints, 1)


def test_a_viewer_sees_what_each_server_is(browser: Browser, complaints: list[str]) -> None:
    deck = Deck(ECHODECK_TOKEN="secret", ECHODECK_VIEWER_TOKEN="looks")
    deck.rest.headers["Authorization"] = "Bearer secret"
    deck.start("asyncio", name="mine")
    context = open_context(browser, deck, complaints)
    try:
        page = context.new_page()
        page.goto("/?whole=true")
        page.get_by_label("Token").fill("looks")
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(re.compile("whole=true$"))
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
        deck.rest.patch("/servers/mine", json={"backlog": 99})
        expect(page.locator("#latest")).to_contain_text("was changed")
        expect(page.locator("#server-mine .who")).to_contain_text("Coroutines with contained errors")
        expect(page.locator("#server-mine").get_by_role("button")).to_have_count(0)
    finally:
        context.close()
        deck.end()
    refused(complaints, 1)
    assert complaints == []


@light
def test_a_click_while_the_page_comes_alive_is_not_lost(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    arrived: list[Route] = []
    page.route("**/events?*", lambda route: arrived.append(route))
    page.goto("/")
    button = page.locator('#server-mine [data-terminal="mine"]')
    box = button.bounding_box()
    assert box
    page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.mouse.down()
    eventually(lambda: page.wait_for_timeout(20) or arrived, lambda: "the page asked for no news")
    arrived[0].continue_()
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    expect(page.locator("#count-servers")).to_have_text("1")
    page.wait_for_timeout(600)  # two beats, in one of which the row would have been painted anew
    page.mouse.up()
    expect(page.get_by_role("region", name="Terminal mine #1", exact=True)).to_be_visible()


@light
def test_a_terminal_that_was_asked_for_before_the_script_came_opens_on_the_next_page(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    page.goto("/ui/servers/mine#terminals")
    expect(page.get_by_role("region", name="Terminal mine #1", exact=True)).to_be_visible()
    assert page.evaluate("location.hash") == ""


@light
def test_the_theme_is_switched_at_once_and_remembered(page: Page) -> None:
    live(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("link", name="Dark").click()
    assert page.evaluate(ground) != before
    dark = page.evaluate(ground)
    page.reload()
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("link", name="Dark")).to_have_attribute("aria-current", "true")


def test_the_page_says_when_the_app_is_gone_and_goes_on_when_it_is_back(
    browser: Browser, complaints: list[str], tmp_path: Path
) -> None:
    state = str(tmp_path / "state.sqlite3")
    first = Program("--state", state)
    deck = Deck.__new__(Deck)
    deck.url = first.url
    context = open_context(browser, deck, complaints)
    try:
        page = live(context.new_page())
        page.get_by_role("button", name="Start asyncio", exact=True).click()
        expect(page.locator(".room .state")).to_contain_text("running")
        first.end()
        expect(page.locator("#live")).to_contain_text("no connection")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
        page.get_by_role("button", name="Dismiss").click()
        page.get_by_role("link", name="Exceptions").click()  # the browser's own error page would be in its place
        expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
        expect(page.locator(".room")).to_have_count(1)
        again = Program("--state", state, "--port", str(first.port))
        expect(page.locator("#live")).to_have_attribute("data-status", "live", timeout=15_000)
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".room .state")).to_contain_text("stopped")
        again.end()
    finally:
        context.close()
        first.end()
    assert [one for one in complaints if "ERR_" not in one] == []


def test_the_page_fits_a_phone(page: Page, deck: Deck) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for variant in ("blocking-single", "nonblocking", "asyncio"):
        deck.start(variant)
    for path in ("/", "/ui/exceptions", "/ui/loop"):
        live(page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    assert serious(page) == []


@pytest.mark.parametrize("path", ["/", "/ui/servers/gone", "/docs"])
def test_nothing_serious_stands_in_anybodys_way(page: Page, deck: Deck, complaints: list[str], path: str) -> None:
    deck.start("asyncio", name="mine")
    page.goto(path)
    if path == "/docs":
        expect(page.locator(".opblock").first).to_be_visible()
    assert serious(page) == []
    if "gone" in path:
        refused(complaints, 1)


def test_the_login_page_serves_everybody(browser: Browser, complaints: list[str]) -> None:
    deck = Deck(ECHODECK_TOKEN="secret")
    context = open_context(browser, deck, complaints)
    try:
        page = context.new_page()
        page.goto("/")
        assert serious(page) == []
        page.get_by_label("Token").fill("secret")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
    finally:
        context.close()
        deck.end()
    refused(complaints, 1)
    assert complaints == []


@light
def test_a_thousand_servers_are_painted_at_once_and_can_be_acted_on(page: Page, deck: Deck) -> None:
    for number in range(1000):
        deck.start("asyncio", name=f"room{number}", start=number % 100 == 0)
    live(page)
    expect(page.locator(".room")).to_have_count(1000)
    page.get_by_label("Find a server").fill("room777")
    page.locator("#server-room777").get_by_role("button", name="Start").click()
    expect(page.locator("#server-room777 .state")).to_contain_text("running")
    expect(page.locator("#count-running")).to_have_text("11")


NO_CATALOGUE = """() => {
  const outside = (text) => {
    const left = text.replace(/⟦[^⟦⟧]*⟧/g, "");
    return left === text ? text : outside(left);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const within = node.parentElement;
    if (!within.checkVisibility() || within.closest('[translate="no"], script, style, .xterm')) continue;
    const left = outside(node.textContent);
    if (/[A-Za-z]{2,}/.test(left.replace(/\\b(ms|kB|MB|GB|TB|EN)\\b/g, ""))) found.push(left.trim());
  }
  for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]"))
    for (const name of ["aria-label", "placeholder", "title"]) {
      const left = outside(element.getAttribute(name) ?? "");
      if (/[A-Za-z]{2,}/.test(left) && !element.closest('[translate="no"], .xterm')) found.push(`${name}: ${left}`);
    }
  return found;
}"""


@light
@pytest.mark.parametrize("path", ["/", "/ui/servers/mine", "/ui/exceptions", "/ui/loop", "/ui/servers/gone"])
def test_no_text_is_outside_the_catalogue(page: Page, deck: Deck, complaints: list[str], path: str) -> None:
    """In the language whose every message stands in brackets."""
    server = deck.start("asyncio", name="mine")
    with connect(server["port"], b"boom\n") as one:
        assert one.recv(9) == b""
    with connect(server["port"], b"hello\n"):
        page.goto("/ui/choose?language=xx")
        page.goto(path)
        expect(page.locator("#live")).to_have_text("⟦live⟧")
        if "gone" not in path:
            deck.rest.patch("/servers/mine", json={"backlog": 99})
        eventually(lambda: page.evaluate(NO_CATALOGUE) == [], lambda: f"outside: {page.evaluate(NO_CATALOGUE)}")
    complaints[:] = [one for one in complaints if "404" not in one]


@light
def test_the_page_speaks_chinese_to_who_wants_it(
    browser: Browser, deck: Deck, page: Page, complaints: list[str]
) -> None:
    context = open_context(browser, deck, complaints, locale="zh-CN")
    chinese = live(context.new_page())
    chinese.get_by_role("button", name=re.compile("asyncio$")).last.click()
    expect(chinese.locator(".room .state")).to_contain_text("运行中")
    chinese.get_by_role("link", name=re.compile("English")).click()
    expect(chinese.locator(".room .state")).to_contain_text("running")
    context.close()


Walk = Callable[[str], None]


@light
def test_the_walk_notices_what_was_done_and_can_be_left_and_resumed(page: Page, deck: Deck) -> None:
    live(page)
    page.get_by_role("button", name="Begin the walk").click()
    walk = page.get_by_role("region", name="Guided walk")
    expect(walk.get_by_role("heading")).to_have_text("Accept one client")
    expect(walk).to_contain_text("walk-accept-once")
    connect(deck.server("walk-accept-once")["port"]).close()
    expect(walk).to_contain_text("the program ended")
    assert serious(page) == []
    walk.get_by_role("button", name="Next step").click()
    walk.get_by_role("button", name="Skip this step").click()
    expect(walk).to_contain_text("walk-blocking 127")
    port = deck.server("walk-blocking")["port"]
    with connect(port, b"x") as first:
        expect(walk.locator(".tasks .done")).to_have_count(1)
        with connect(port, b"y"):
            expect(walk.locator(".tasks .done")).to_have_count(2)
            walk.get_by_role("button", name="Leave the walk").click()
            expect(walk).to_be_hidden()
            page.reload()
            expect(walk).to_be_hidden()
            expect(page.get_by_role("button", name="Go on with step 3")).to_be_visible()
            deck.rest.post("/servers/walk-blocking/restart")
            deck.rest.post("/servers/walk-blocking/stop")
            page.get_by_role("button", name="Go on with step 3").click()
            expect(walk.locator(".tasks .done")).to_have_count(2)
            eventually(lambda: deck.server("walk-blocking")["state"] == "running", lambda: "the walk did not start it")
    first.close()
    port = deck.server("walk-blocking")["port"]
    with connect(port, b"quit\n") as one:
        assert one.recv(9) == b"quit\n"
    expect(walk.get_by_role("button", name="Next step")).to_be_visible()
    page.reload()
    expect(walk.get_by_role("button", name="Next step")).to_be_visible()


@light
def test_a_double_click_begins_the_walk_once(page: Page, deck: Deck) -> None:
    live(page)
    page.get_by_role("button", name="Begin the walk").dblclick()
    walk = page.get_by_role("region", name="Guided walk")
    expect(walk).to_contain_text("walk-accept-once 127")
    walk.get_by_role("button", name="Skip this step").dblclick()
    expect(walk).to_contain_text("walk-blocking-single 127")
    expect(walk.get_by_role("heading")).to_have_text("Read until quit, answer, end")
    expect(page.get_by_role("alert")).to_have_count(0)
    deck.rest.post("/servers/walk-blocking-single/stop")
    walk.get_by_role("button", name="Start it again").click()
    eventually(lambda: deck.server("walk-blocking-single")["state"] == "running", lambda: "it was not started again")
    connect(deck.server("walk-blocking-single")["port"], b"hello\nquit\n").close()
    expect(walk.get_by_role("button", name="Next step")).to_be_visible()


@light
def test_the_walk_sees_the_core_burn_and_boom_contained(page: Page, deck: Deck) -> None:
    live(page)
    page.evaluate("""localStorage.setItem("echodeck-walk", '{"step": 3, "task": 0, "on": true}')""")
    page.reload()
    walk = page.get_by_role("region", name="Guided walk")
    expect(walk).to_contain_text("walk-nonblocking 127")
    port = deck.server("walk-nonblocking")["port"]
    with connect(port) as one, connect(port):
        expect(walk.locator(".tasks .done")).to_have_count(1)
        one.sendall(b"quit\n")
        assert one.recv(9) == b"quit\n"
        expect(walk.locator(".tasks .done")).to_have_count(2)
        expect(walk.locator(".tasks .now")).to_contain_text("it burns the core")
        walk.get_by_role("link", name="Look").click()
        expect(page).to_have_url(re.compile("/ui/loop$"))
        expect(walk).to_contain_text("A whole core for two silent clients")
    for _ in range(3):
        walk.get_by_role("button", name=re.compile("Next step|Skip this step")).click()
    expect(walk).to_contain_text("walk-asyncio 127")
    assert deck.server("walk-nonblocking")["state"] == "stopped"
    port = deck.server("walk-asyncio")["port"]
    with connect(port) as one, connect(port) as other:
        expect(walk.locator(".tasks .done")).to_have_count(1)
        one.sendall(b"boom\n")
        assert one.recv(9) == b""
        expect(walk.locator(".tasks .done")).to_have_count(2)
        other.sendall(b"hello\n")
        assert other.recv(9) == b"hello\n"
        expect(walk).to_contain_text("everybody else noticed nothing")
    walk.get_by_role("button", name="Finish").click()
    walk.get_by_role("button", name="Close").click()
    expect(walk).to_be_hidden()
    assert page.evaluate("localStorage.getItem('echodeck-walk')") is None


@light
def test_the_api_document_works_without_the_internet(page: Page) -> None:
    page.goto("/docs")
    operation = page.locator("#operations-servers-list_servers_servers_get")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tr.response .response-col_status").first).to_contain_text("200")
