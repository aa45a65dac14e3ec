"""Without a mouse and without a screen: where the focus is, and what Chromium's accessibility tree tells of the servers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browsing import Deck, connect, eventually, light, live
from tests.conftest import Program

FOCUS = "() => { const one = document.activeElement; return one === document.body ? null : `${one.closest('[id]')?.id}:${one.textContent.trim()}`; }"


def focused(page: Page) -> str:
    eventually(lambda: page.evaluate(FOCUS) is not None, lambda: "the focus has fallen to the body")
    return str(page.evaluate(FOCUS))


class Ears:
    """What a screen reader says by itself: what is new in the live regions of the accessibility tree."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._tree = page.context.new_cdp_session(page)
        self._tree.send("Accessibility.enable")
        self._before = self._regions()
        self._heard: list[str] = []

    def _regions(self) -> dict[str, str]:
        nodes = {one["nodeId"]: one for one in self._tree.send("Accessibility.getFullAXTree")["nodes"]}

        def is_live(node: dict[str, Any]) -> bool:
            found = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
            return not node["ignored"] and found.get("live", "off") != "off"

        def words(node: dict[str, Any]) -> str:
            if node.get("role", {}).get("value") == "StaticText":
                return str(node["name"]["value"])
            return " ".join(filter(None, (words(nodes[child]) for child in node["childIds"] if child in nodes)))

        return {
            place: words(node)
            for place, node in nodes.items()
            if is_live(node) and not is_live(nodes.get(node.get("parentId", ""), {"ignored": True}))
        }

    def heard(self, of: str = "", seconds: float = 0) -> list[str]:
        """What was said of this since they began to listen; those seconds are waited for more."""
        until = time.monotonic() + seconds
        while True:
            now = self._regions()
            self._heard += [words for place, words in now.items() if words and words != self._before.get(place)]
            self._before = now
            if time.monotonic() >= until:
                return [words for words in self._heard if of in words]
            self._page.wait_for_timeout(30)


@light
def test_start_stop_and_loss_of_a_server_are_told_once_each(page: Page, deck: Deck) -> None:
    made = deck.start("accept-once", name="mine")
    live(page)
    ears = Ears(page)

    def told(*each: str) -> None:
        """So far, and nothing else."""
        eventually(lambda: ears.heard("mine") == list(each), lambda: str(ears.heard()))
        assert ears.heard("mine", seconds=1) == list(each)

    row = page.locator("#server-mine")
    row.get_by_role("button", name=re.compile("Stop")).click()
    told(ended := "mine: stopped.")
    row.get_by_role("button", name=re.compile("Start")).click()
    told(ended, begun := "mine: running.")
    with connect(made["port"]):  # the only one that it serves
        expect(row.locator(".state")).to_contain_text("exited")
    told(ended, begun, lost := "mine: exited.")
    deck.rest.delete("/servers/mine")
    told(ended, begun, lost, "mine was removed.")


@light
def test_what_a_notice_says_is_not_said_again(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    live(page, "/ui/servers/mine")
    ears = Ears(page)
    page.get_by_role("button", name=re.compile("Remove")).click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert ears.heard("mine", seconds=1) == ["mine was removed. Undo Dismiss"]


def test_the_loss_of_the_app_and_its_return_are_told_once_each(
    browser: Browser, program: Callable[..., Program], tmp_path: object
) -> None:
    options = ("--state", f"{tmp_path}/state.db")
    running = program(*options)
    context = browser.new_context(base_url=running.url, locale="en-US")
    page = context.new_page()
    page.request.post("/servers", data={"variant": "asyncio", "port": 0, "name": "mine"})
    live(page)
    ears = Ears(page)
    running.end()
    expect(page.locator("#live")).to_have_attribute("data-status", "lost")
    lost = "no connection to the app; trying again"
    assert ears.heard(seconds=3) == [lost]
    program(*options, "--port", str(running.port))
    expect(page.locator("#live")).to_have_attribute("data-status", "live", timeout=30_000)
    assert ears.heard(seconds=2) == [lost, "live"]
    context.close()


@light
def test_the_focus_stays_where_something_was_done_and_it_is_said_once(page: Page, deck: Deck) -> None:
    for name in ("one", "two", "three"):
        deck.start("asyncio", name=name)
    live(page)
    ears = Ears(page)
    page.locator("#server-two").get_by_role("button", name=re.compile("Stop")).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#server-two .state")).to_contain_text("stopped")
    assert focused(page).startswith("server-two:")
    ears.heard(seconds=0.6)
    page.locator("#server-two").get_by_role("button", name=re.compile("Start")).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#server-two .state")).to_contain_text("running")
    assert focused(page).startswith("server-two:")
    ears.heard(seconds=0.6)
    deck.rest.delete("/servers/two")  # by another's doing
    expect(page.locator("#server-two")).to_have_count(0)
    assert focused(page).startswith("server-three:") or focused(page).startswith("server-one:")
    assert ears.heard("two", seconds=0.6) == ["two: stopped.", "two: running.", "two was removed."]


@light
def test_the_focus_stays_with_the_connections_after_a_hang_up(page: Page, deck: Deck) -> None:
    made = deck.start("asyncio", name="echo")
    with connect(made["port"], b"x"), connect(made["port"], b"y"):
        live(page, "/ui/servers/echo")
        rows = page.locator("#connections tbody tr")
        expect(rows).to_have_count(2)
        rows.first.get_by_role("button", name=re.compile("Hang up")).focus()
        page.keyboard.press("Enter")
        expect(rows).to_have_count(1)
        focused(page)
        assert page.evaluate("document.activeElement.closest('#connections') !== null")
        rows.first.get_by_role("button", name=re.compile("Hang up")).focus()
        page.keyboard.press("Enter")
        expect(page.locator("#connections")).to_contain_text("0 connections")
        focused(page)
