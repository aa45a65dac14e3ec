"""Much in browser terminals: megabytes, floods, two hundred of them."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser_terminals import (
    PASTE_MANY,
    TERMINALS,
    line,
    pane,
    press,
    recording,
    screen,
    send,
    sent,
    status,
)
from tests.browsing import Deck, eventually, light


@light
def test_ten_megabytes_arrive_whole(page: Page, echo: Locator, deck: Deck) -> None:
    line(echo).evaluate(PASTE_MANY, ["0123456789abcde\n", 655_360])
    expect(echo).to_contain_text("sent 10.5 MB · received 10.5 MB", timeout=60_000)
    expect(echo.get_by_role("progressbar")).to_have_count(0)
    sent(deck, "echo", 10_485_760)
    assert deck.server("echo")["bytes_out"] == 10_485_760
    expect(echo).to_contain_text("what came before is cut")
    first, *rest = recording(page, echo)
    assert first["text"] == "cut"
    kept = sum(len(one["text"]) for one in rest if one["dir"] != "event")
    assert 2 * 10_485_760 - first["cut_bytes"] == kept < 700_000


@light
def test_a_long_paste_can_be_cancelled(echo: Locator, deck: Deck) -> None:
    press(echo, "Hold")
    line(echo).evaluate(PASTE_MANY, ["0123456789abcde\n", 4_000_000])
    press(echo, "Cancel")
    expect(screen(echo)).to_contain_text("bytes were not sent")
    press(echo, "Hold")
    expect(echo.get_by_role("progressbar")).to_have_count(0, timeout=60_000)
    send(echo, "and on")
    expect(screen(echo)).to_contain_text("and on")
    eventually(lambda: deck.server("echo")["bytes_out"] == deck.server("echo")["bytes_in"], lambda: "not all is echoed")
    assert deck.server("echo")["bytes_in"] < 64_000_000


@light
def test_hold_keeps_a_flood_away_and_the_page_at_hand(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Hold")
    expect(echo).to_contain_text("Held: the server is not read from")
    line(echo).evaluate(PASTE_MANY, ["0123456789abcde\n", 655_360])
    expect(echo).to_contain_text("received 262 kB")
    page.get_by_role("link", name="Loop", exact=True).click()  # the page goes on, and the terminal stays
    expect(page).to_have_url(re.compile("/ui/loop$"))
    expect(echo).to_contain_text("received 262 kB")
    press(echo, "Hold")
    expect(echo).to_contain_text("received 10.5 MB", timeout=60_000)


@light
def test_two_hundred_terminals(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="echo")
    page.goto("/")
    page.evaluate(f"async () => {{ {TERMINALS} for (let n = 0; n < 200; n++) openTerminal('echo'); }}")
    last = pane(page, "echo #200")
    expect(status(last)).to_contain_text("inside", timeout=20_000)
    eventually(lambda: deck.server("echo")["connections"]["open"] == 200, lambda: "not all are in")
    assert page.locator(".xterm").count() <= 4
    send(last, "still quick")
    expect(screen(last)).to_contain_text("still quick")
    page.evaluate(
        f"async () => {{ {TERMINALS} for (const one of terminals.list) one.sendLine(`I am ${{one.number}}`); }}"
    )
    sent(deck, "echo", 12 + sum(len(f"I am {number}\n") for number in range(1, 201)))
    page.get_by_role("button", name="echo #7 inside").click()
    expect(screen(pane(page, "echo #7"))).to_contain_text("> I am 7I am 7")
