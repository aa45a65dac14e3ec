"""The guided walk in a real Chromium."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browsing import Deck, connect, eventually, light, live, serious


@light
def test_the_walk_notices_what_was_done_and_can_be_left_and_resumed(page: Page, deck: Deck) -> None:
    live(page)
    page.get_by_role("button", name="Begin the walk").click()
    walk = page.get_by_role("region", name="Guided walk")
    expect(walk.get_by_role("heading")).to_have_text("Accept one client")
    expect(walk).to_contain_text("walk-accept-once")
    connect(deck.server("walk-accept-once")["port"]).close()
    expect(walk).to_contain_text("the program ended")
    expect(walk.locator(".step-picture .calls-picture")).to_contain_text("accept")
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
