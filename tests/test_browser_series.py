"""The page remembers: its charts show what was before it was opened, in a real Chromium."""

from __future__ import annotations

import re
import socket

from playwright.sync_api import Page, expect

from tests.browsing import Deck, eventually, light, live

SENT = 200_000


def send(deck: Deck, server: dict[str, object]) -> None:
    """Of which the page is to tell, once the app has its rate."""
    with socket.create_connection(("127.0.0.1", int(str(server["port"]))), timeout=10) as client:
        client.sendall(b"x" * SENT)
        left = SENT
        while left:
            left -= len(client.recv(65536))
    eventually(
        lambda: sum(filter(None, deck.rest.get(f"/servers/{server['name']}/series").json()["bytes_in"])) == SENT,
        lambda: "it is not in the series",
    )


@light
def test_a_servers_chart_is_full_when_its_page_opens(page: Page, deck: Deck) -> None:
    send(deck, deck.start("asyncio", name="mine"))
    live(page, "/ui/servers/mine")
    caption = page.locator("#traffic-chart figcaption")
    expect(caption).to_contain_text("at most 200 kB/s")
    expect(page.locator("#traffic-chart .plot")).to_have_attribute("aria-label", re.compile("at most 200 kB/s"))


@light
def test_a_sparkline_is_full_when_the_dashboard_opens(page: Page, deck: Deck) -> None:
    send(deck, deck.start("asyncio", name="mine"))
    live(page)
    line = page.locator("#server-mine .spark path")
    eventually(lambda: (line.get_attribute("d") or "").count("L") >= 2, lambda: f"{line.get_attribute('d')}")
    full = (line.get_attribute("d") or "").count("L")
    eventually(lambda: (line.get_attribute("d") or "").count("L") > full + 1, lambda: "it does not go on")


@light
def test_how_far_back_the_charts_go_is_a_choice_that_stays(page: Page, deck: Deck) -> None:
    send(deck, deck.start("asyncio", name="mine"))
    live(page, "/ui/servers/mine")
    choice = page.get_by_role("group", name="How far back")
    expect(choice.get_by_role("button", name="2 min")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#traffic-chart figcaption")).to_contain_text("at most 200 kB/s")
    with page.expect_response(re.compile("/servers/mine/series.*every=60")):
        choice.get_by_role("button", name="24 h").click()
    choice.get_by_role("button", name="10 min").click()
    expect(page.locator("#traffic-chart figcaption")).to_contain_text("at most 200 kB/s")
    page.get_by_role("link", name=re.compile("^loop", re.IGNORECASE)).first.click()
    expect(page.get_by_role("group", name="How far back").get_by_role("button", name="10 min")).to_have_attribute(
        "aria-pressed", "true"
    )


@light
def test_the_loops_charts_ask_for_what_was(page: Page, deck: Deck) -> None:
    burner = deck.start("nonblocking", name="burner")
    eventually(
        lambda: max([share or 0 for share in deck.rest.get("/loop/series").json()["share"].get("burner", [0])]) > 0.3,
        lambda: "it does not burn",
    )
    deck.rest.post(f"/servers/{burner['name']}/stop").raise_for_status()
    with page.expect_response(re.compile("/loop/series")) as told:
        live(page, "/ui/loop")
    assert max(share or 0 for share in told.value.json()["share"]["burner"]) > 0.3
    expect(page.locator("#shares")).not_to_contain_text("burner")
    page.locator("#share-chart .plot").hover(position={"x": 320, "y": 40})
    expect(page.locator("#share-chart figcaption")).to_contain_text("busy")
