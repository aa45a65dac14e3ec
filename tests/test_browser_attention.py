"""Without a mouse and without a screen: where the focus is, and what Chromium's accessibility tree tells of the servers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser_terminals import line, opened, pane, screen, status
from tests.browsing import Deck, connect, eventually, forgive, light, live, page_of
from tests.conftest import Program
from tests.helpers import first

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

    def told(self, of: str, *each: str, quiet: float = 1) -> None:
        """This was said of it since they began to listen, or soon is, and nothing more in those seconds after."""
        eventually(lambda: self.heard(of) == list(each), lambda: str(self.heard()))
        assert self.heard(of, quiet) == list(each)


@light
def test_start_stop_and_loss_of_a_server_are_told_once_each(page: Page, deck: Deck, complaints: list[str]) -> None:
    made = deck.start("accept-once", name="mine")
    live(page)
    ears = Ears(page)
    row = page.locator("#server-mine")
    row.get_by_role("button", name=re.compile("Stop")).click()
    ears.told("mine", ended := "mine: stopped.")
    row.get_by_role("button", name=re.compile("Start")).click()
    ears.told("mine", ended, begun := "mine: running.")
    with connect(made["port"]):  # the only one that it serves
        expect(row.locator(".state")).to_contain_text("exited")
    ears.told("mine", ended, begun, lost := "mine: exited.")
    deck.rest.delete("/servers/mine")
    ears.told("mine", ended, begun, lost, "mine was removed.")
    forgive(complaints)


@light
def test_what_a_notice_says_is_not_said_again(page: Page, deck: Deck, complaints: list[str]) -> None:
    deck.start("asyncio", name="mine")
    live(page)  # where nothing else follows a removal, such as another page
    ears = Ears(page)
    page.evaluate(
        "async () => (await import(new URL('actions.js', document.querySelector('script[type=module][src]').src).href)).act('mine', 'remove')"
    )
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    ears.told("mine", "mine was removed. Undo Dismiss", quiet=1.5)
    forgive(complaints)


def test_the_loss_of_the_app_and_its_return_are_told_once_each(
    browser: Browser, program: Callable[..., Program], tmp_path: object
) -> None:
    options = ("--state", f"{tmp_path}/state.db")
    running = program(*options)
    page = page_of(browser, running, "mine")
    live(page)
    ears = Ears(page)
    running.end()
    expect(page.locator("#live")).to_have_attribute("data-status", "lost")
    lost = "no connection to the app; trying again"
    ears.told("", lost, quiet=3)
    program(*options, "--port", str(running.port))
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    ears.told("", lost, "live", quiet=2)
    page.context.close()


@light
def test_the_focus_stays_where_something_was_done_and_it_is_said_once(
    page: Page, deck: Deck, complaints: list[str]
) -> None:
    for name in ("one", "two", "three"):
        deck.start("asyncio", name=name)
    live(page)
    ears = Ears(page)
    page.locator("#server-two").get_by_role("button", name=re.compile("Stop")).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#server-two .state")).to_contain_text("stopped")
    assert focused(page).startswith("server-two:")
    ears.told("two", stopped := "two: stopped.")
    page.locator("#server-two").get_by_role("button", name=re.compile("Start")).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#server-two .state")).to_contain_text("running")
    assert focused(page).startswith("server-two:")
    ears.told("two", stopped, running := "two: running.")
    deck.rest.delete("/servers/two")  # by another's doing
    expect(page.locator("#server-two")).to_have_count(0)
    assert focused(page).startswith("server-three:") or focused(page).startswith("server-one:")
    ears.told("two", stopped, running, "two was removed.")
    forgive(complaints)


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


STOP = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  (window.stops ??= new Set()).add(one);
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  const within = (at, most) => Math.min(Math.max(at, 0), most - 1);
  const over = document.elementFromPoint(within(box.left + box.width / 2, innerWidth), within(box.top + Math.min(box.height / 2, 10), innerHeight));
  const faults = [];
  if (!(parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== "none") && style.boxShadow === "none") faults.push("has no ring");
  if (box.bottom <= 0 || box.top >= innerHeight) faults.push("is out of sight");
  else if (!one.contains(over) && !over?.contains(one)) faults.push(`is covered by ${over?.outerHTML.slice(0, 80)}`);
  return faults.map((fault) => `${one.outerHTML.slice(0, 120)} ${fault}`);
}"""
THINGS = """() => {
  window.things = [...document.querySelectorAll("a[href], button:not(:disabled), input:not(:disabled, [type=hidden], [type=radio]), select:not(:disabled), textarea:not(:disabled), summary, [tabindex='0']")]
    .filter((one) => one.tabIndex >= 0 && one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length);
}"""
MISSED = "() => window.things.filter((one) => one.isConnected && !window.stops.has(one)).map((one) => one.outerHTML.slice(0, 120))"


@light
@pytest.mark.parametrize(
    "path",
    first(2, ["/", "/ui/servers/echo", "/ui/lab", "/ui/glass", "/ui/servers/gate", "/ui/exceptions", "/ui/loop"]),
)
def test_every_thing_is_reached_by_tab_and_seen_there_with_terminals_open(page: Page, deck: Deck, path: str) -> None:
    made, gate = deck.start("asyncio", name="echo"), deck.start("blocking", name="gate")
    with connect(made["port"], b"boom\n"), connect(made["port"]), connect(gate["port"]), connect(gate["port"]):
        live(page)
        opened(page, "echo")
        page.evaluate(
            "(path) => document.body.append(Object.assign(document.createElement('a'), {href: path, id: 'on'}))", path
        )
        page.locator("#on").evaluate("(link) => { link.click(); link.remove(); }")
        page.wait_for_url(f"**{path}")
        page.wait_for_timeout(500)
        page.locator(".skip").focus()
        for key in ("Tab", "Shift+Tab"):  # so that the browser knows that there is no mouse
            page.keyboard.press(key)
        page.evaluate(THINGS)
        faults: list[str] = []
        while (found := page.evaluate(STOP)) is not None:
            faults += found
            page.keyboard.press("Tab")
            assert len(faults) < 20
        assert faults == []
        assert page.evaluate(MISSED) == []


def tab_to(page: Page, wanted: Locator, key: str = "Tab") -> None:
    for _ in range(100):
        if wanted.evaluate("(one) => one === document.activeElement"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{wanted} is not reached by {key}")


@light
def test_a_server_is_started_and_talked_to_and_its_exception_read_by_keys_alone(page: Page, deck: Deck) -> None:
    live(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # to the content
    tab_to(page, page.locator("#start select").first)
    page.keyboard.type("7")
    tab_to(page, page.locator("#start").get_by_role("button", name="Start"))
    page.keyboard.press("Enter")
    row = page.locator("#rooms > li")
    expect(row).to_contain_text("running")
    (server,) = deck.rest.get("/servers").json()["items"]
    tab_to(page, row.locator("[data-terminal]"))
    page.keyboard.press("Enter")
    terminal = pane(page, f"{server['name']} #1")
    expect(line(terminal)).to_be_focused()
    page.keyboard.type("hello\n")
    expect(screen(terminal)).to_contain_text("hello")
    page.keyboard.type("boom\n")
    expect(status(terminal)).to_contain_text("closed")
    tab_to(page, page.locator("nav.pages").get_by_role("link", name="Exceptions"), "Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/exceptions")
    one = page.locator("#main summary").first
    tab_to(page, one)
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_contain_text("Traceback")
    expect(page.locator("#main pre").first).to_be_visible()
