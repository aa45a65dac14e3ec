"""The browser terminal's line mode: what is typed, pasted and sent again, in a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser_terminals import (
    PASTE,
    line,
    pane,
    press,
    screen,
    send,
    sent,
    status,
)
from tests.browsing import Deck, light


@pytest.mark.in_firefox
def test_a_line_comes_back(echo: Locator) -> None:
    send(echo, "hello")
    expect(screen(echo)).to_contain_text("> hello")
    expect(screen(echo).locator("div", has_text=re.compile("^hello"))).to_have_count(1)
    expect(line(echo)).to_have_value("")
    expect(echo).to_contain_text("sent 6 B · received 6 B")


@light
def test_the_arrow_keys_bring_earlier_lines_back(echo: Locator) -> None:
    for text in ("first", "second"):
        send(echo, text)
    line(echo).fill("draft")
    for key, shown in (
        ("ArrowUp", "second"), ("ArrowUp", "first"), ("ArrowUp", "first"),
        ("ArrowDown", "second"), ("ArrowDown", "draft"), ("ArrowDown", "draft"),
    ):  # fmt: skip
        line(echo).press(key)
        expect(line(echo)).to_have_value(shown)


@light
def test_another_terminal_to_the_server_knows_its_lines(page: Page, echo: Locator) -> None:
    send(echo, "known")
    echo.get_by_role("button", name="Another").click()
    other = pane(page, "echo #2")
    line(other).press("ArrowUp")
    expect(line(other)).to_have_value("known")


@light
def test_escapes_become_bytes(echo: Locator, deck: Deck) -> None:
    send(echo, r"a\tb\x00\xff\\\r")
    expect(screen(echo)).to_contain_text(r"\xff\ ")
    press(echo, "Hex")
    expect(echo.locator(".hex .received")).to_contain_text("61 09 62 00 ff 5c 0d 0a")
    sent(deck, "echo", 8)


@light
@pytest.mark.parametrize(("text", "escape"), [(r"a\qb", r"\q"), (r"\x4", r"\x4"), ("end\\", "\\"), (r"\xg1", r"\xg")])
def test_a_wrong_escape_is_told_and_nothing_is_sent(echo: Locator, deck: Deck, text: str, escape: str) -> None:
    send(echo, text)
    expect(echo.get_by_role("alert")).to_contain_text(f"{escape} is no escape")
    expect(line(echo)).to_have_value(text)
    send(echo, "right")
    expect(echo.get_by_role("alert")).to_have_count(0)
    sent(deck, "echo", 6)


@light
@pytest.mark.parametrize(
    ("ending", "count", "shown"),
    [("LF", 3, "> hi$"), ("CRLF", 4, r"> hi\\r\\n$"), ("none", 2, r"> hi \(no line end\)$")],
)
def test_a_line_ends_as_chosen(echo: Locator, deck: Deck, ending: str, count: int, shown: str) -> None:
    echo.get_by_label("Line end").select_option(ending)
    send(echo, "hi")
    expect(screen(echo).locator("> div").first).to_have_text(re.compile(shown))
    sent(deck, "echo", count)


@light
def test_a_paste_of_lines_goes_as_lines_and_leaves_the_last_to_be_written_on(echo: Locator, deck: Deck) -> None:
    line(echo).fill("so ")
    line(echo).evaluate(PASTE, "one\r\ntwo\\q\nthr")
    expect(line(echo)).to_have_value("thr")
    sent(deck, "echo", len("so one\ntwo\\q\n"))
    expect(screen(echo)).to_contain_text("> two\\q")


@light
def test_the_quick_lines_are_sent(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Send hello")
    sent(deck, "echo", 6)
    press(echo, "Send boom")
    expect(status(echo)).to_contain_text("closed by the server")
    assert deck.rest.get("/exceptions").json()["items"][0]["message"] == "boom"
    expect(echo.get_by_role("button", name="Send hello")).to_be_disabled()
