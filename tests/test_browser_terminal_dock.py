"""The dock of the terminals: its height, its theme, on a phone, for everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser_terminals import (
    line,
    opened,
    press,
    screen,
    send,
    status,
)
from tests.browsing import Deck, light, open_context, serious


@light
def test_the_dock_folds_and_is_resized_by_keys(page: Page, echo: Locator) -> None:
    dock = page.get_by_role("region", name="Terminals", exact=True)
    handle = dock.get_by_role("separator")
    handle.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "240")
    handle.press("ArrowUp")
    expect(handle).to_have_attribute("aria-valuenow", "264")
    page.reload()
    echo = opened(page, "echo")
    expect(handle).to_have_attribute("aria-valuenow", "264")
    send(echo, "kept")
    press(dock, "Fold")
    expect(echo).to_have_count(0)
    assert page.locator(".xterm").count() == 0
    dock.get_by_role("button", name="echo #1 inside").click()
    expect(screen(echo)).to_contain_text("> keptkept")
    press(echo, "Close echo #1")
    expect(dock).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).paddingBottom") == "0px"


@light
def test_leaving_the_page_asks_first(page: Page, echo: Locator) -> None:
    send(echo, "I am here")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == ["beforeunload"]


def test_nothing_serious_is_found_by_axe(page: Page, deck: Deck, echo: Locator) -> None:
    deck.start("blocking", name="one-by-one")
    expect(page.locator('main [data-terminal="one-by-one"]').first).to_be_visible()
    opened(page, "one-by-one")
    waiting = opened(page, "one-by-one", 2)
    expect(status(waiting)).to_contain_text("waiting")
    send(echo, r"\x1b\xff and a wrong one")
    send(echo, r"\q")
    assert serious(page) == []
    press(echo, "Raw keys")
    assert serious(page) == []
    page.keyboard.press("F6")
    press(echo, "Hex")
    deck.rest.post("/servers/one-by-one/stop")
    expect(status(waiting)).to_contain_text("stopped")
    assert serious(page) == []


@light
def test_the_theme_is_followed(page: Page, echo: Locator) -> None:
    colour = "getComputedStyle(document.querySelector('.xterm-scrollable-element')).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("link", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(colour) != before


@pytest.fixture
def phone(browser: Browser, deck: Deck, complaints: list[str]) -> Iterator[Page]:
    context = open_context(browser, deck, complaints, viewport={"width": 375, "height": 740}, has_touch=True)
    yield context.new_page()
    context.close()
    assert complaints == []


def test_a_phone_shows_one_terminal_at_a_time(phone: Page, deck: Deck) -> None:
    deck.start("asyncio", name="echo")
    deck.start("blocking", name="blocking-with-a-rather-long-name")
    phone.goto("/")
    first = opened(phone, "echo")
    second = opened(phone, "blocking-with-a-rather-long-name")
    expect(first).to_have_count(0)
    send(second, "x" * 300)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 375
    assert serious(phone) == []
    phone.get_by_role("button", name="echo #1 inside").click()
    expect(line(first)).to_be_focused()
    send(first, "hello")
    expect(screen(first)).to_contain_text("> hellohello")


def test_the_words_are_in_the_catalogue_of_marks(phone: Page, deck: Deck) -> None:
    """Every message in brackets: what is not, is in no catalogue."""
    deck.start("asyncio", name="echo")
    phone.context.add_cookies([{"name": "echodeck-language", "value": "xx", "url": deck.url}])
    phone.goto("/")
    phone.locator('main [data-terminal="echo"]').first.click()
    terminal = phone.locator(".pane")
    expect(terminal.locator(".status")).to_contain_text("⟦inside⟧")
    assert (
        phone.evaluate(
            """() => [...document.querySelectorAll(".dock button, .dock option, .dock label")]
          .filter((one) => !one.querySelector("[translate=no]") && !["LF", "CRLF"].includes(one.textContent))
          .map((one) => one.textContent.trim()).filter((text) => !text.includes("⟦"))"""
        )
        == []
    )
