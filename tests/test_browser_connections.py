"""The connections on a server's page, in a real Chromium: sorted, sifted, tapped and hung up."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser_clients import EVIL, MINE, Clients, at, row
from tests.browsing import Deck, eventually, light, live, refused


@light
def test_connections_appear_change_and_vanish(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    live(page, MINE)
    expect(page.locator("#sheet")).to_contain_text("Nobody is connected.")
    one, other = clients.to(server), clients.to(server, b"hello")
    expect(page.locator("#sheet tbody tr")).to_have_count(2)
    expect(row(page, other)).to_contain_text("5 B")
    one.sendall(b"x" * 1500)
    expect(row(page, one)).to_contain_text("1.5 kB")
    left = row(page, one)
    one.close()
    expect(left).to_have_count(0)
    expect(page.locator("#connections-count")).to_have_text("1 connection")


@light
def test_the_table_is_sorted_by_any_column(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    open_ones = [clients.to(server, b"x" * size) for size in (20, 300, 1)]
    live(page, MINE)
    rows = page.locator("#sheet tbody tr")
    expect(rows).to_have_count(3)

    def order(*places: int) -> None:
        expect(rows).to_contain_text([at(open_ones[place]) for place in places])

    order(0, 1, 2)
    heads = page.locator("#sheet th")
    heads.get_by_role("button", name="in", exact=True).click()
    order(1, 0, 2)
    expect(heads.nth(4)).to_have_attribute("aria-sort", "descending")
    heads.get_by_role("button", name="in", exact=True).click()
    order(2, 0, 1)
    expect(heads.nth(4)).to_have_attribute("aria-sort", "ascending")
    for name in ("client", "state", "id", "since", "out", "unread", "idle", "round trip"):
        heads.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("#sheet th[aria-sort$=ending]")).to_contain_text(name)
        expect(page.locator("#sheet th[aria-sort$=ending]")).to_have_count(1)


@light
def test_the_table_is_sifted_by_text_and_state(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("blocking", name="mine")
    first, second, third = clients.to(server), clients.to(server), clients.to(server)
    live(page, MINE)
    rows = page.locator("#sheet tbody tr")
    expect(rows).to_have_count(3)
    page.get_by_label("State").select_option("waiting")
    expect(rows).to_have_count(2)
    expect(row(page, first)).to_have_count(0)
    page.get_by_label("Find a connection").fill(at(third))
    expect(rows).to_contain_text([at(third)])
    expect(page.locator("#connections-count")).to_have_text("1 of 3")
    page.get_by_label("State").select_option("open")
    expect(rows).to_have_count(0)
    page.get_by_role("button", name="Show all").click()
    expect(rows).to_have_count(3)
    expect(row(page, second)).to_have_count(1)


@light
def test_of_a_thousand_rows_those_are_there_that_are_seen(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine", backlog=1000)
    open_ones = [clients.to(server) for _ in range(1000)]
    live(page, MINE)
    expect(page.locator("#connections-count")).to_have_text("1,000 connections")
    table, sheet = page.locator("#sheet table"), page.locator("#sheet")
    expect(table).to_have_attribute("aria-rowcount", "1001")
    assert table.locator("tbody tr").count() < 50
    expect(row(page, open_ones[0])).to_have_attribute("aria-rowindex", "2")
    sheet.evaluate("(sheet) => { sheet.scrollTop = sheet.scrollHeight; }")
    expect(table.locator("tbody tr").last).to_have_attribute("aria-rowindex", "1001")
    assert table.locator("tbody tr").count() < 50
    height = sheet.evaluate("(sheet) => sheet.scrollHeight")
    assert 0 <= height - (32 + 1000 * 34) < 4, height
    open_ones[-1].close()
    expect(table).to_have_attribute("aria-rowcount", "1000")


@light
def test_somebody_inside_is_hung_up(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    client = clients.to(server)
    live(page, MINE)
    row(page, client).get_by_role("button", name="Hang up").click()
    assert client.recv(1) == b""
    expect(row(page, client)).to_have_count(0)
    expect(page.locator("#story")).to_contain_text(f"was told to hang up {at(client)}")


@light
def test_of_one_who_waits_it_is_said_why_he_cannot_be(
    page: Page, deck: Deck, clients: Clients, complaints: list[str]
) -> None:
    server = deck.start("blocking", name="mine")
    clients.to(server)
    waiter = clients.to(server)
    live(page, MINE)
    row(page, waiter).filter(has_text="waiting").get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("alert")).to_contain_text("waits in the kernel's accept queue")
    refused(complaints, 1)
    row(page, waiter).get_by_role("button", name="Tap").click()
    expect(page.get_by_role("status").filter(has_text="nothing to see")).to_be_visible()


@light
def test_a_tap_shows_bytes_both_ways_and_runs_none_of_them(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    client = clients.to(server, b"before")
    assert client.recv(6) == b"before"
    live(page, MINE)
    row(page, client).get_by_role("button", name="Tap").click()
    tap = page.locator("#tap")
    expect(tap).to_contain_text("What goes through from now on.")

    def says(*texts: str) -> bool:
        client.sendall(EVIL + b"\x00\xff\n")
        client.recv(1000)
        return all(text in tap.inner_text() for text in texts)

    # Until the tap is there, nobody knows whether what was sent went through before it.
    eventually(lambda: says("→ in", "← out", "<img src=x", r"\x00\xff\n"), tap.inner_text)
    assert page.locator("#tap img, #tap pre b").count() == 0
    assert page.title() != "run"
    assert "before" not in tap.inner_text()
    tap.get_by_role("button", name="hex").click()
    expect(tap).to_contain_text("3c 69 6d 67 20 73 72 63  3d 78 20 6f 6e 65 72 72  <img src=x onerr")
    client.close()
    expect(tap).to_contain_text("The connection has ended.")
    tap.get_by_role("button", name="Close").click()
    expect(tap).to_be_hidden()


@light
def test_our_own_terminals_are_told_from_others(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    stranger = clients.to(server)
    live(page, MINE)
    page.locator("#commands [data-terminal]").click()
    expect(page.locator("#sheet tbody tr.is-yours")).to_contain_text("your terminal")
    expect(page.locator("#sheet tbody tr.is-yours")).to_have_count(1)
    expect(row(page, stranger)).not_to_contain_text("your terminal")
