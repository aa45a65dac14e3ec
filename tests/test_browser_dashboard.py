"""The dashboard in a real Chromium: servers are started, seen, found and removed."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browsing import Deck, connect, eventually, light, live, refused, serious


@pytest.mark.in_firefox
@light
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
    const told = attributes.map(({name, value}) => `${name}=${value.replace("+00:00", "Z").replace(/([.]\\d{3})\\d+Z/, "$1Z")}`).sort().join(" ");
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
def test_a_click_while_the_page_comes_alive_is_not_lost(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    news: list[str | bytes] = []
    pages_end: list[WebSocketRoute] = []

    def between(route: WebSocketRoute) -> None:
        pages_end.append(route)
        route.connect_to_server().on_message(lambda one: pages_end[1].send(one) if pages_end[1:] else news.append(one))

    page.route_web_socket(re.compile("/events"), between)
    page.goto("/")
    button = page.locator('#server-mine [data-terminal="mine"]')
    box = button.bounding_box()
    assert box
    page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.mouse.down()
    eventually(lambda: page.title() and news, lambda: "the page asked for no news")
    for one in news:
        pages_end[0].send(one)
    pages_end.append(pages_end[0])
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    expect(page.locator("#count-servers")).to_have_text("1")
    deck.start("asyncio", name="later")
    expect(page.locator("#server-later")).to_be_attached()  # at a beat after that which would have painted mine anew
    page.mouse.up()
    expect(page.get_by_role("region", name="Terminal mine #1", exact=True)).to_be_visible()


@light
def test_a_terminal_that_was_asked_for_before_the_script_came_opens_on_the_next_page(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    page.goto("/ui/servers/mine#terminals")
    expect(page.get_by_role("region", name="Terminal mine #1", exact=True)).to_be_visible()
    assert page.evaluate("location.hash") == ""


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
