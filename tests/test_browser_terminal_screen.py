"""What a browser terminal shows: text, control bytes, ANSI, hex, raw keys, and its recording."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser_terminals import (
    PASTE,
    PASTE_MANY,
    line,
    press,
    recording,
    screen,
    send,
    sent,
    status,
)
from tests.browsing import Deck, eventually, light, serious


@light
def test_markup_is_text(page: Page, echo: Locator) -> None:
    send(echo, "<img src=x onerror=alert(1)><script>alert(2)</script>")
    expect(screen(echo)).to_contain_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    press(echo, "Hex")
    expect(echo.locator(".hex")).to_contain_text("<img src=x onerr")
    expect(echo.locator("img, script")).to_have_count(0)


@light
def test_control_bytes_stand_there_and_do_nothing(page: Page, echo: Locator, deck: Deck) -> None:
    title = page.title()
    send(echo, r"\x1b]0;stolen\x07\x1b]52;c;c3RvbGVu\x07\x1b[?1049h\x1b[6n\x7f\xc2\x9b")
    expect(screen(echo)).to_contain_text(r"\x1b[6n\x7f\xc2\x9b")
    expect(screen(echo)).to_contain_text("]0;stolen")
    assert page.title() == title
    send(echo, "after")
    expect(screen(echo)).to_contain_text("after")
    sent(deck, "echo", 43 + 6)  # no answer to the query


@light
def test_characters_that_were_cut_are_put_together(echo: Locator) -> None:
    echo.get_by_label("Line end").select_option("none")
    send(echo, r"[\xe4\xbd")
    expect(echo).to_contain_text("received 3 B")
    send(echo, r"\xa0]")
    expect(screen(echo)).to_contain_text("你]".replace("你", "\u4f60"))
    send(echo, r"\xe4A")
    expect(screen(echo)).to_contain_text(r"\xe4A")


def test_ansi_acts_on_the_screen_alone(page: Page, echo: Locator, deck: Deck) -> None:
    title = page.title()
    press(echo, "Interpret ANSI")
    expect(echo).to_contain_text("queries are not answered")
    page.evaluate("() => { navigator.clipboard.writeText = () => console.error('the clipboard was written to'); }")
    for text in (
        r"\x1b]0;stolen\x07", r"\x1b]52;c;c3RvbGVu\x07", r"\x1b[6n\x1b[c", r"\x1b[2147483647S\x1b[2147483647b",
        r"\x1b[31mred \x1b[38;2;9;9;9mblack on black\x1b[0m", r"\x1b]8;;http://example.org\x07link\x1b]8;;\x07",
    ):  # fmt: skip
        send(echo, text)
    expect(screen(echo)).to_contain_text("red black on black")
    expect(screen(echo)).to_contain_text("link")
    expect(echo).to_contain_text("sent 140 B · received 140 B")
    assert page.title() == title
    sent(deck, "echo", 140)  # and no answer
    assert serious(page) == []
    send(echo, r"\x1b[?1049h\x1b[2Jelsewhere")
    expect(screen(echo)).not_to_contain_text("red")
    press(echo, "Interpret ANSI")
    expect(screen(echo)).to_contain_text("black on black")


@light
def test_hex_shows_both_directions(page: Page, echo: Locator) -> None:
    send(echo, "0123456789abcdefXY")
    expect(screen(echo)).to_contain_text("XY0123")
    press(echo, "Hex")
    dump = echo.locator(".hex")
    expect(dump).to_have_text(
        "> 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n"
        "> 00000010  58 59 0a                                          XY.\n"
        "< 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n"
        "< 00000010  58 59 0a                                          XY.",
        use_inner_text=True,
    )
    send(echo, "z")
    expect(dump).to_contain_text("< 00000013  7a 0a")
    dump.focus()
    expect(dump).to_be_focused()
    press(echo, "Hex")
    expect(screen(echo)).to_contain_text("XY0123")


@light
def test_hex_shows_the_latest_of_much(page: Page, echo: Locator) -> None:
    press(echo, "Hex")
    line(echo).evaluate(PASTE_MANY, ["0123456789abcde\n", 65_536])
    expect(echo).to_contain_text("received 1.0 MB")
    expect(echo.locator(".hex")).to_contain_text(re.compile(r"< 000ffff[0-9a-f]  3\d"))
    lines = echo.locator(".hex").evaluate("(hex) => hex.textContent.split('\\n').length")
    assert 65_536 // 16 <= lines < 4 * 65_536 // 16


@light
def test_who_types_or_pastes_at_the_screen_writes_the_line(page: Page, echo: Locator, deck: Deck) -> None:
    screen(echo).click(force=True)
    page.keyboard.type("hi")
    expect(line(echo)).to_be_focused()
    expect(line(echo)).to_have_value("hi")
    echo.locator(".screen").focus()
    echo.locator(".screen").evaluate(PASTE, " there\nand")
    expect(line(echo)).to_have_value("and")
    sent(deck, "echo", len("hi there\n"))
    echo.locator(".screen").focus()
    echo.locator("form.line").evaluate(PASTE, "!")  # Firefox fires it where the caret was last
    expect(line(echo)).to_have_value("and!")


@light
def test_the_screen_scrolls_by_keys(page: Page, echo: Locator) -> None:
    line(echo).evaluate(PASTE, "".join(f"row {number}\n" for number in range(100)))
    expect(screen(echo)).to_contain_text("row 99")
    place = echo.get_by_role("group", name="Screen of")
    place.press("Home")
    expect(screen(echo)).to_contain_text("> row 0")
    place.press("PageDown")
    expect(screen(echo)).not_to_contain_text("> row 0")
    place.press("End")
    expect(screen(echo)).to_contain_text("row 99")


@light
def test_what_comes_is_read_aloud_in_lines(echo: Locator) -> None:
    send(echo, "hello")
    expect(echo.get_by_role("log")).to_have_text("hello")


@light
def test_keys_go_as_they_are_typed_and_f6_leaves(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Raw keys")
    expect(echo).to_contain_text("F6 leaves the screen")
    page.keyboard.type("hey")
    expect(screen(echo)).to_contain_text("hey")
    sent(deck, "echo", 3)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    expect(screen(echo)).to_contain_text(r"\x1b[A")
    sent(deck, "echo", 3 + 1 + 1 + 3)
    page.keyboard.press("F6")
    expect(echo.get_by_role("button", name="Raw keys")).to_be_focused()
    page.keyboard.press("Enter")
    expect(line(echo)).to_be_visible()


@light
def test_raw_mode_answers_queries_only_if_ansi_is_interpreted(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Raw keys")
    echo.locator(".xterm-helper-textarea").evaluate(PASTE, "\x1b[6n")
    expect(screen(echo)).to_contain_text("[6n")
    sent(deck, "echo", 4)
    press(echo, "Interpret ANSI")
    echo.locator(".xterm-helper-textarea").evaluate(PASTE, "\x1b[c")
    eventually(lambda: deck.server("echo")["bytes_in"] > 7, lambda: "the emulator has not answered")


@light
def test_the_recording_is_json_lines(page: Page, echo: Locator) -> None:
    send(echo, "héllo")
    send(echo, r"\xff")
    expect(echo).to_contain_text("received 9 B")
    press(echo, "Send EOF")
    expect(status(echo)).to_contain_text("closed")
    entries = recording(page, echo)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", one["at"]) for one in entries)
    told: list[Any] = [one.get("text", one.get("base64")) for one in entries]
    assert [one for one in told if one != "waiting"] == [
        "opened", "accepted", "héllo\n", "héllo\n", "/wo=", "/wo=", "eof sent", "eof from the server", "closed",
    ]  # fmt: skip
    assert [one["dir"] for one in entries if "offset" in one] == ["out", "in", "out", "in"]
    assert entries[-1]["code"] == 1000
