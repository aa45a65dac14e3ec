"""The exceptions of all servers and the loop that they share, in a real Chromium."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import Deck, DeckThatSleeps, eventually, forgive, light, live, open_context, serious


def boom(server: dict[str, object]) -> None:
    with socket.create_connection(("127.0.0.1", int(str(server["port"]))), timeout=10) as client:
        client.sendall(b"boom\n")
        assert client.recv(1) == b""


def overflow(server: dict[str, object], data: bytes) -> None:
    """Send a server that collects until `quit`, and may collect only a little, too much."""
    with socket.create_connection(("127.0.0.1", int(str(server["port"]))), timeout=10) as client:
        client.sendall(data)
        client.settimeout(10)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


# Exceptions


@light
def test_exceptions_of_all_servers_come_as_they_happen(page: Page, deck: Deck) -> None:
    one, other = deck.start("asyncio", name="one"), deck.start("asyncio", name="other")
    live(page, "/ui/exceptions")
    expect(page.get_by_text("No exception yet.")).to_be_visible()
    boom(one)
    expect(page.locator(".caught")).to_have_count(1)
    boom(other)
    expect(page.locator(".caught summary")).to_contain_text(
        [re.compile("boom.*other", re.DOTALL), re.compile("boom.*one", re.DOTALL)]
    )
    boom(one)
    expect(page.locator(".caught summary").nth(1)).to_contain_text("2 times")
    page.locator(".caught summary").first.click()
    entry = page.locator(".caught").first
    expect(entry.locator(".own")).to_contain_text('raise RuntimeError("boom")')
    expect(entry).to_contain_text(r"b'boom\n'")
    expect(entry.locator(".facts a").first).to_have_attribute("href", "/ui/servers/other")
    link = entry.get_by_role("link", name=re.compile(r"^\d+-\d+$"))
    expect(link).to_have_attribute("href", re.compile("/ui/servers/other#connection-"))


@light
def test_what_they_are_sifted_for_is_in_the_address(page: Page, deck: Deck) -> None:
    one = deck.start("asyncio", name="one")
    small = deck.start("blocking", name="small", max_buffer=4)
    boom(one)
    overflow(small, b"more than that")
    live(page, "/ui/exceptions")
    rows = page.locator(".caught")
    expect(rows).to_have_count(2)
    page.get_by_label("Server").select_option("one")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/ui/exceptions\?server=one$"))
    page.get_by_label("Server").select_option("")
    page.get_by_label("Type").select_option("BufferError")
    expect(rows.locator("summary")).to_contain_text(["BufferError"])
    expect(page).to_have_url(re.compile(r"\?type=BufferError$"))
    page.get_by_label("Text").fill("nothing like it")
    expect(page.get_by_text("None is like that.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?type=BufferError&q=nothing\+like\+it$"))
    live(page, "/ui/exceptions?q=MORE+THAN")
    expect(page.get_by_label("Text")).to_have_value("MORE THAN")
    expect(rows.locator("summary")).to_contain_text(["BufferError"])
    overflow(small, b"more than this")
    expect(rows.locator("summary")).to_contain_text(["2 times"])
    boom(one)  # is not what is sifted for
    overflow(small, b"more than this")
    expect(rows.locator("summary")).to_contain_text(["3 times"])
    expect(rows).to_have_count(1)
    page.get_by_label("Text").fill("")
    expect(rows).to_have_count(2)


@light
def test_earlier_ones_are_had_on_request(page: Page, deck: Deck) -> None:
    server = deck.start("asyncio", name="one")
    for number in range(52):
        if number:
            server = deck.rest.post("/servers/one/restart").json()  # equal ones of one run are told once
        boom(server)
    live(page, "/ui/exceptions")
    expect(page.locator(".caught")).to_have_count(50)
    page.locator("#older button").click()
    expect(page.locator(".caught")).to_have_count(52)
    expect(page.locator("#older button")).to_have_count(0)


@light
def test_clearing_is_asked_for_twice(page: Page, deck: Deck) -> None:
    boom(deck.start("asyncio", name="one"))
    boom(deck.start("asyncio", name="other"))
    live(page, "/ui/exceptions")
    expect(page.locator(".caught")).to_have_count(2)
    page.get_by_label("Server").select_option("one")
    page.get_by_role("button", name="Clear those of one").click()
    expect(page.get_by_text("Forget the exceptions of one, for good?")).to_be_visible()
    page.get_by_role("button", name="Keep").click()
    assert len(deck.rest.get("/exceptions").json()["items"]) == 2
    page.get_by_role("button", name="Clear those of one").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator(".caught")).to_have_count(0)
    assert [told["server"] for told in deck.rest.get("/exceptions").json()["items"]] == ["other"]
    page.get_by_label("Server").select_option("")
    expect(page.locator(".caught")).to_have_count(1)
    deck.rest.delete("/exceptions")  # by somebody else
    expect(page.get_by_text("No exception yet.")).to_be_visible()


# The loop


@light
def test_who_has_the_loop_is_seen(page: Page, deck: Deck) -> None:
    deck.start("selectors", name="quiet")
    deck.start("nonblocking", name="burner")
    deck.start("blocking", name="apart")
    live(page, "/ui/loop")
    shares = page.locator("#shares li")
    expect(shares.first).to_contain_text(re.compile(r"burner\s*\d\d %"))
    expect(page.locator("#shares").get_by_role("link", name="quiet")).to_have_attribute("href", "/ui/servers/quiet")
    expect(page.locator("#thread-shares")).to_contain_text("apart")
    expect(page.locator("#share-chart figcaption")).to_contain_text("most of it burner")
    expect(page.locator("#share-chart .plot")).to_have_attribute("aria-label", re.compile("Over time: busy .* burner"))
    assert page.locator("#share-chart canvas").count() == 1
    expect(page.locator("#lag-now")).to_contain_text(re.compile(r"99 of 100 under\s*\d"))
    deck.rest.post("/servers/burner/stop")
    expect(page.locator("#shares")).not_to_contain_text("burner")


def test_a_stall_is_told_with_the_line_that_caused_it(browser: Browser, complaints: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "servers"
    folder.mkdir()
    deck = DeckThatSleeps(folder)
    context = open_context(browser, deck, complaints)
    page = context.new_page()
    server = deck.start("sleeps", name="sleeper")
    live(page, "/ui/loop")
    with socket.create_connection(("127.0.0.1", server["port"]), timeout=10) as client:
        assert client.recv(1) == b""
        stall = page.locator("#stall-list .caught").filter(has_text="sleeper").first
        expect(stall.locator("summary")).to_contain_text(re.compile(r"0\.[345]\d s\s*sleeper\s*time\.sleep\(0\.4\)"))
    stall.locator("summary").click()
    expect(stall.locator(".stack")).to_contain_text("serve, servers/beyond_sleeps.py:13")
    page.reload()
    expect(page.locator("#stall-list")).to_contain_text("time.sleep(0.4)")
    context.close()
    deck.end()
    assert complaints == []


@light
def test_tasks_are_told_with_their_line_and_by_server(page: Page, deck: Deck, complaints: list[str]) -> None:
    one = deck.start("asyncio", name="one")
    deck.start("blocking", name="other")
    with socket.create_connection(("127.0.0.1", one["port"]), timeout=10):
        live(page, "/ui/loop?server=one#tasks")
        rows = page.locator("#task-sheet tbody tr")
        expect(rows).to_contain_text(["sock_accept", "sock_recv"])
        expect(page.get_by_role("combobox", name="Server")).to_have_value("one")
        page.get_by_role("combobox", name="Server").select_option("")
        expect(rows.filter(has_text="server:other")).to_contain_text("connection, address = listener.accept()")
        expect(rows.filter(has_text="server:other")).to_contain_text("a thread")
        expect(page).to_have_url(re.compile(r"/ui/loop#tasks$"))
        page.get_by_role("combobox", name="Server").select_option("other")
        expect(rows).to_have_count(1)
    deck.rest.delete("/servers/other")
    forgive(complaints)


@light
def test_many_tasks_are_told_a_hundred_at_a_time(page: Page, deck: Deck) -> None:
    one = deck.start("asyncio", name="one", backlog=200)
    clients = [socket.create_connection(("127.0.0.1", one["port"]), timeout=10) for _ in range(120)]
    eventually(lambda: deck.server("one")["connections"]["open"] == 120, lambda: str(deck.server("one")))
    live(page, "/ui/loop?server=one")
    rows = page.locator("#task-sheet tbody tr")
    expect(page.locator("#task-count")).to_have_text("the first 100")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="More").click()
    expect(rows).to_have_count(121)
    expect(page.get_by_role("button", name="More")).to_have_count(0)
    for client in clients:
        client.close()


# Both


def test_nothing_serious_stands_in_anybodys_way(page: Page, deck: Deck) -> None:
    boom(deck.start("asyncio", name="one"))
    deck.start("nonblocking", name="burner")
    live(page, "/ui/exceptions")
    page.locator(".caught summary").click()
    page.get_by_role("button", name="Clear all").click()
    expect(page.get_by_text("for good?")).to_be_visible()
    assert serious(page) == []
    live(page, "/ui/exceptions?q=nothing")
    assert serious(page) == []
    live(page, "/ui/loop")
    expect(page.locator("#shares")).to_contain_text("burner")
    expect(page.locator("#task-sheet tbody tr").first).to_be_visible()
    assert serious(page) == []


@light
def test_the_charts_follow_the_theme(page: Page, deck: Deck) -> None:
    deck.start("nonblocking", name="burner")
    live(page, "/ui/loop")
    expect(page.locator("#share-chart figcaption")).to_contain_text("burner")
    pixels = "() => { const c = document.querySelector('#lag-chart canvas'); return c.toDataURL(); }"
    before = page.evaluate(pixels)
    page.get_by_role("link", name="Dark").click()
    eventually(lambda: page.evaluate(pixels) != before, lambda: "it was not drawn anew")


@light
@pytest.mark.parametrize("path", ["/ui/exceptions", "/ui/loop"])
def test_it_fits_a_phone(page: Page, deck: Deck, path: str) -> None:
    page.set_viewport_size({"width": 375, "height": 740})
    boom(deck.start("asyncio", name="one-with-a-name-that-is-rather-long-for-a-small-screen"))
    live(page, path)
    expect(page.get_by_text("one-with-a-name").first).to_be_attached()
    for details in page.locator(".caught summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_without_javascript_exceptions_are_sifted_and_cleared(
    browser: Browser, deck: Deck, complaints: list[str]
) -> None:
    boom(deck.start("asyncio", name="one"))
    boom(deck.start("asyncio", name="other"))
    context = open_context(browser, deck, complaints, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/exceptions")
    page.get_by_label("Server").select_option("one")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".caught")).to_have_count(1)
    page.get_by_role("button", name="Clear those of one").click()
    expect(page.locator(".caught summary")).to_contain_text(["other"])
    context.close()
