"""Many tabs of one browser, a browser whose clock is wrong, and an app that has gone silent."""

from __future__ import annotations

import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.browser_terminals import opened, screen, send, status
from tests.browsing import Deck, connect, light, live, open_context


@pytest.mark.parametrize("count", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_many_tabs_and_their_terminals_are_all_live(
    browser: Browser, deck: Deck, complaints: list[str], count: int
) -> None:
    deck.start("asyncio", name="echo")
    context = open_context(browser, deck, complaints)
    context.set_default_timeout(60_000)
    tabs = []
    for number in range(count):
        page = context.new_page()
        page.goto(("/", "/ui/servers/echo", "/ui/loop", "/ui/exceptions")[number % 4])
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
        tabs.append(page)
    for page in tabs[1:24:4]:
        terminal = opened(page, "echo")
        expect(status(terminal)).to_contain_text("inside")
        send(terminal, "hello")
        expect(screen(terminal)).to_contain_text("> hellohello")
    deck.start("blocking", name="another")
    for page in tabs:
        expect(page.locator("#count-servers")).to_have_text("2")
    tabs[0].get_by_role("link", name="Loop", exact=True).click()  # six connections are there for everything else
    expect(tabs[0]).to_have_url(re.compile("/ui/loop"))
    context.close()
    assert complaints == []


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-400)])
def test_ages_are_told_by_the_apps_clock(browser: Browser, deck: Deck, complaints: list[str], off: timedelta) -> None:
    deck.start("asyncio", name="young")
    context = open_context(browser, deck, complaints)
    page = context.new_page()
    page.clock.set_system_time(datetime.now(UTC) + off)
    live(page)
    room = page.locator("#server-young")
    expect(room.locator("time[data-since]").first).to_have_text(re.compile(r"^\d+ s$|^1 min$"))
    page.wait_for_timeout(1500)  # once they were written anew
    expect(room.locator("time[data-since]").first).to_have_text(re.compile(r"^\d+ s$|^1 min$"))
    expect(page.locator("#lately time, .lately time").first).to_have_text(re.compile(r"^(\d+ s|1 min) ago$"))
    page.goto("/ui/servers/young")
    with connect(deck.server("young")["port"], b"x"):
        row = page.locator("#connections tbody tr").first
        expect(row).to_be_visible()
        expect(page.locator("#connections")).not_to_contain_text(re.compile(r"\d d\b"))
    context.close()
    assert complaints == []


@light
def test_an_app_that_stands_still_is_not_live(page: Page, deck: Deck) -> None:
    live(page)
    before = page.evaluate("new Date().toTimeString().slice(0, 8)")
    deck.program.signal(signal.SIGSTOP)
    try:
        expect(page.locator("#live")).to_have_attribute("data-status", "silent")
        words = page.locator("#live-words").inner_text()
        (since,) = re.findall(r"nothing heard since (\d\d:\d\d:\d\d)", words)
        assert seconds(before) - 6 <= seconds(since) <= seconds(before) + 3
    finally:
        deck.program.signal(signal.SIGCONT)
    expect(page.locator("#live")).to_have_attribute("data-status", "live")


def seconds(time_of_day: str) -> int:
    hours, minutes, rest = map(int, time_of_day.split(":"))
    return hours * 3600 + minutes * 60 + rest


@light
def test_a_stream_that_is_cut_without_a_word_is_opened_anew(page: Page, deck: Deck) -> None:
    streams: list[WebSocketRoute] = []
    cut = False

    def between(page_end: WebSocketRoute) -> None:
        streams.append(page_end)
        app_end = page_end.connect_to_server()
        number = len(streams)
        app_end.on_message(lambda message: None if cut and number == 1 else page_end.send(message))

    page.route_web_socket(re.compile("/events"), between)
    live(page)
    cut = True  # as when a cable is out: neither end knows
    deck.start("asyncio", name="unseen")
    expect(page.locator("#live")).to_have_attribute("data-status", "silent")
    expect(page.locator("#live")).to_have_attribute("data-status", "live", timeout=60_000)
    expect(page.locator("#server-unseen")).to_be_visible()  # what happened meanwhile is told
    assert len(streams) == 2


@light
def test_where_no_websocket_gets_through_the_page_is_live_all_the_same(
    page: Page, deck: Deck, complaints: list[str]
) -> None:
    page.add_init_script(
        "const Real = WebSocket; window.WebSocket = class extends Real { constructor(url, protocols) { super(url.toString().replace('/events', '/nowhere'), protocols); } };"
    )
    live(page)
    deck.start("asyncio", name="seen")
    expect(page.locator("#server-seen")).to_be_visible()
    assert any("/nowhere" in one for one in complaints)
    complaints[:] = [one for one in complaints if "/nowhere" not in one]


@light
def test_a_stream_lasts(page: Page, deck: Deck) -> None:
    """Longer than the silence that would end it, while nothing happens."""
    live(page)
    page.evaluate(
        "window.statuses = []; import(new URL('feed.js', document.querySelector('script[type=module][src]').src).href).then(({feed}) => feed.addEventListener('status', () => window.statuses.push(feed.status)))"
    )
    deadline = time.monotonic() + 14
    while time.monotonic() < deadline:
        page.wait_for_timeout(1000)
    assert page.evaluate("window.statuses") == []
