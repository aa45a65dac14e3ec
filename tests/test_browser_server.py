"""A server's page in a real Chromium: its door, its connections, what it raised, and where it is in its source."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browsing import Deck, eventually, light, live, open_context, refused, serious

MINE = "/ui/servers/mine"
EVIL = b"<img src=x onerror=document.title='run'><b>bold</b>"


@pytest.fixture
def clients() -> Iterator[Clients]:
    with ExitStack() as open_ones:
        yield Clients(open_ones)


class Clients:
    """TCP clients that end with the test."""

    def __init__(self, open_ones: ExitStack) -> None:
        self._open = open_ones

    def to(self, server: dict[str, object], data: bytes = b"") -> socket.socket:
        client = self._open.enter_context(socket.create_connection(("127.0.0.1", int(str(server["port"]))), timeout=10))
        client.sendall(data)
        return client


def at(client: socket.socket) -> str:
    host, port = client.getsockname()
    return f"{host}:{port}"


def row(page: Page, client: socket.socket) -> Locator:
    return page.locator("#sheet tbody tr").filter(has_text=at(client))


def marked(page: Page) -> list[str]:
    return page.locator("#code .is-here").all_inner_texts()


# The head


@light
def test_the_head_follows_the_server_and_the_header_counts_all(page: Page, deck: Deck, clients: Clients) -> None:
    server, other = deck.start("asyncio", name="mine"), deck.start("asyncio", name="other")
    live(page, MINE)
    clients.to(server)
    clients.to(other)
    expect(page.locator("#count-servers")).to_have_text("2")
    expect(page.locator("#count-connections")).to_have_text("2")
    expect(page.locator("#tally")).to_contain_text(re.compile(r"inside\s*1"))
    commands = page.locator("#commands")
    commands.get_by_role("button", name="Stop").click()
    expect(page.locator("#now-state")).to_contain_text("stopped on request")
    commands.get_by_role("button", name="Start").click()
    expect(page.locator("#now-state")).to_contain_text("running")
    expect(page.locator("#now-state")).to_contain_text("task server:mine")
    commands.get_by_role("button", name="Restart").click()
    expect(page.locator("#story")).to_contain_text("stopped")


@light
def test_a_stop_lets_the_clients_inside_finish(page: Page, deck: Deck, clients: Clients, complaints: list[str]) -> None:
    server = deck.start("asyncio", name="mine")
    client = clients.to(server, b"x")
    assert client.recv(1) == b"x"
    live(page, MINE)
    commands = page.locator("#commands")
    commands.get_by_label("after at most").fill("soon")
    commands.get_by_role("button", name="Stop").click()
    expect(commands.get_by_role("alert")).to_contain_text("Give a number")
    refused(complaints, 1)
    commands.get_by_label("after at most").fill("60")
    commands.get_by_role("button", name="Stop").click()
    expect(page.locator("#now-state")).to_contain_text("stopping")
    client.sendall(b"still here")
    assert client.recv(10) == b"still here"
    client.close()
    expect(page.locator("#now-state")).to_contain_text("stopped")


# The door


@light
def test_who_waits_stands_in_the_queue_in_order_and_is_let_in(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("blocking", name="mine")
    live(page, MINE)
    first = clients.to(server, b"a")
    queue, inside = page.locator(".outside .standing li"), page.locator(".inside-room .standing li")
    expect(inside).to_have_count(1)
    second = clients.to(server, b"bcd")
    expect(queue).to_have_count(1)
    third = clients.to(server)
    expect(queue).to_have_count(2)
    expect(queue.nth(0)).to_contain_text(at(second))
    expect(queue.nth(0)).to_contain_text("3 B unread")
    expect(queue.nth(1)).to_contain_text(at(third))
    expect(inside).to_contain_text(at(first))
    expect(row(page, third)).to_contain_text("waiting")
    first.sendall(b"quit\n")
    expect(inside).to_contain_text(at(second))
    expect(queue).to_have_count(1)
    expect(row(page, second)).to_contain_text("inside")


@light
def test_a_long_queue_is_drawn_up_to_forty_and_counted_beyond(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("blocking", name="mine")
    for _ in range(48):
        clients.to(server)
    live(page, MINE)
    expect(page.locator(".outside .standing li")).to_have_count(40)
    expect(page.locator(".outside")).to_contain_text("and 7 more behind them")


# The connections


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


# What happened


@light
def test_an_exception_appears_with_its_traceback_and_input(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    live(page, MINE)
    expect(page.locator("#caught")).to_contain_text("None.")
    for count in ("once", "2 times"):
        assert clients.to(server, b"boom\n").recv(1) == b""
        expect(page.locator("#caught summary")).to_contain_text(re.compile(f"RuntimeError boom.*{count}", re.DOTALL))
    caught = page.locator(".caught")
    expect(caught).to_have_count(1)
    expect(caught.locator(".traceback")).to_be_hidden()
    caught.locator("summary").click()
    expect(caught.locator(".own")).to_contain_text('raise RuntimeError("boom")')
    expect(caught).to_contain_text(r"b'boom\n'")
    expect(caught).to_contain_text("has ended")
    # What was opened stays open when more comes.
    clients.to(server, b"boom\n")
    expect(page.locator("#caught summary")).to_contain_text("3 times")
    expect(caught.locator(".traceback")).to_be_visible()


@light
def test_what_a_client_sent_is_shown_and_never_run(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("blocking", name="mine", max_buffer=10, restart="never")
    live(page, MINE)
    clients.to(server, EVIL)
    expect(page.locator("#caught summary")).to_contain_text("BufferError")
    page.locator("#caught summary").click()
    expect(page.locator("#caught")).to_contain_text("<img src=x onerror=document.title='run'>")
    live(page, "/ui/exceptions")
    page.locator("#caught summary").click()
    expect(page.locator("#caught")).to_contain_text("<img src=x onerror=document.title='run'>")
    assert page.locator("#caught img, #caught .facts b").count() == 0
    assert page.title() != "run"


@light
def test_an_exception_leads_to_its_connection_while_that_is_there(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio-basic", name="mine")
    others = [clients.to(server) for _ in range(3)]
    client = clients.to(server, b"boom\n")
    live(page, MINE)
    expect(row(page, others[2])).to_have_count(1)
    if page.locator("#caught summary").count() == 0:  # nobody fetches it before the garbage collector comes
        client.close()
        expect(page.locator("#connections-count")).to_have_text(re.compile(r"[34] connections"))
    page.goto(f"/ui/servers/mine#connection-{row(page, others[1]).locator('.c-id').inner_text()}")
    expect(page.locator("#sheet tbody tr")).to_contain_text([at(others[1])])
    expect(page.get_by_label("Find a connection")).to_be_in_viewport()


@light
def test_the_timeline_goes_on_and_back(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="told")
    for _ in range(20):
        deck.rest.post("/servers/told/restart")
    live(page, "/ui/servers/told")
    lines = page.locator("#story li")
    expect(lines).to_have_count(30)
    deck.rest.patch("/servers/told", json={"backlog": 5})
    expect(lines.first).to_contain_text("was changed")
    page.locator("#earlier button").click()
    expect(lines.last).to_contain_text("was created")


# Settings


@light
def test_settings_are_changed_while_it_runs(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    live(page, MINE)
    form = page.get_by_role("region", name="Settings")
    form.get_by_label("Most connections").fill("7")
    form.get_by_label("Run again").select_option("always")
    form.get_by_role("button", name="Change").click()
    expect(form.get_by_role("status")).to_have_text("Changed.")
    spec = deck.server("mine")["spec"]
    assert (spec["max_connections"], spec["restart"], spec["backlog"]) == (7, "always", 128)
    form.get_by_label("Most connections").fill("")
    form.get_by_role("button", name="Change").click()
    eventually(lambda: deck.server("mine")["spec"]["max_connections"] is None, lambda: str(deck.server("mine")))
    deck.rest.patch("/servers/mine", json={"backlog": 99})
    expect(form.get_by_label("Backlog")).to_have_value("99")


@light
def test_a_wrong_setting_is_said_beside_its_field(page: Page, deck: Deck, complaints: list[str]) -> None:
    deck.start("asyncio", name="mine")
    live(page, MINE)
    form = page.get_by_role("region", name="Settings")
    expect(form.get_by_label("Port")).to_be_disabled()
    field = form.get_by_label("Backlog")
    for wrong, words in (("many", "whole number"), ("0", "greater than or equal to 1"), ("", "whole number")):
        field.fill(wrong)
        form.get_by_role("button", name="Change").click()
        expect(form.get_by_role("alert")).to_contain_text(words)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
    refused(complaints, 3)
    field.fill("5")
    form.get_by_role("button", name="Change").click()
    expect(form.get_by_role("alert")).to_have_count(0)
    expect(form.get_by_role("status")).to_have_text("Changed.")


@light
def test_a_stopped_server_moves_and_changes_what_it_is(page: Page, deck: Deck, complaints: list[str]) -> None:
    deck.start("asyncio", name="mine")
    live(page, MINE)
    page.locator("#commands").get_by_role("button", name="Stop").click()
    form = page.get_by_role("region", name="Settings")
    expect(form.get_by_label("Port")).to_be_enabled()
    form.get_by_label("Port").fill("80")
    form.get_by_role("button", name="Change").click()
    expect(form.get_by_role("alert")).to_contain_text("outside the allowed range")
    refused(complaints, 1)
    form.get_by_label("Port").fill("0")
    form.get_by_label("Variant").select_option("blocking")
    form.get_by_role("button", name="Change").click()
    expect(page.locator("#kind")).to_contain_text("Many clients, one at a time")
    expect(page.locator("#code")).to_contain_text("connection.recv(options.recv_size)")


# Source


@light
def test_the_line_where_a_thread_blocks_is_marked(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("blocking", name="mine")
    live(page, MINE)
    eventually(lambda: "listener.accept()" in "".join(marked(page)), lambda: str(marked(page)))
    clients.to(server)
    eventually(lambda: "connection.recv" in "".join(marked(page)), lambda: str(marked(page)))
    expect(page.locator("#code .is-here")).to_have_count(1)
    expect(page.locator("#code .is-here .at")).to_have_text("one thread is here")
    expect(page.locator("#here")).to_contain_text("data = connection.recv(options.recv_size)")
    deck.rest.post("/servers/mine/stop")
    expect(page.locator("#code .is-here")).to_have_count(0)
    expect(page.locator("#here")).to_have_text("Nothing of it runs.")


@light
def test_the_lines_where_tasks_wait_are_marked_with_their_number(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    for _ in range(12):
        clients.to(server)
    live(page, MINE)
    expect(page.locator("#code .is-here .at")).to_have_text(["12 tasks wait here", "one task waits here"])
    clients.to(server)
    expect(page.locator("#code .is-here .at").first).to_have_text("13 tasks wait here")


# The page itself


def test_a_server_removed_while_its_page_is_open_leaves_a_page_that_says_so(
    page: Page, deck: Deck, complaints: list[str]
) -> None:
    deck.start("asyncio", name="mine")
    live(page, MINE)
    deck.rest.delete("/servers/mine")
    expect(page.get_by_text("This server was removed.")).to_be_visible()
    assert serious(page) == []
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    deck.start("blocking", name="mine")
    expect(page.locator("#kind")).to_contain_text("Many clients, one at a time")
    expect(page.locator("#now-state")).to_contain_text("running")
    forgive(complaints)


def forgive(complaints: list[str]) -> None:
    """The page may have asked where the server is, just before it was told that there is none."""
    complaints[:] = [one for one in complaints if "status of 404" not in one]


@light
def test_removing_it_here_leads_to_all_servers(page: Page, deck: Deck, complaints: list[str]) -> None:
    deck.start("asyncio", name="mine")
    live(page, MINE)
    page.locator("#commands").get_by_role("button", name="Remove").click()
    expect(page).to_have_url(re.compile(r"/$"))
    expect(page.get_by_role("status").filter(has_text="mine was removed")).to_be_visible()
    forgive(complaints)


@light
@pytest.mark.parametrize("anchor", ["connections", "exceptions", "timeline", "settings", "source"])
def test_its_parts_can_be_linked_to(page: Page, deck: Deck, anchor: str) -> None:
    deck.start("asyncio", name="mine")
    live(page, f"/ui/servers/mine#{anchor}")
    expect(page.locator(f"#{anchor}")).to_be_in_viewport()


@light
def test_leaving_ends_what_the_page_began(page: Page, deck: Deck, clients: Clients) -> None:
    server = deck.start("asyncio", name="mine")
    client = clients.to(server, b"x")
    live(page, MINE)
    asked: list[str] = []
    row(page, client).get_by_role("button", name="Tap").click()
    expect(page.locator("#tap")).to_be_visible()
    streams = deck.rest.get("/metrics").text
    page.locator(".brand a").click()
    expect(page.locator("#server-mine")).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    for number in range(20):  # two seconds' worth of the feed's ticks
        deck.rest.patch("/servers/mine", json={"backlog": 10 + number})
    expect(page.locator("#latest li").first).to_contain_text("was changed")
    assert [url for url in asked if "/loop/lines" in url or "/tap" in url] == []
    assert "echodeck" in streams


def test_nothing_serious_stands_in_anybodys_way(page: Page, deck: Deck, clients: Clients) -> None:
    for name, variant in (("mine", "asyncio"), ("queue", "blocking")):
        server = deck.start(variant, name=name)
        clients.to(server, b"boom\n")
        client = clients.to(server, b"hello")
        clients.to(server, b"hello")
        live(page, f"/ui/servers/{name}")
        expect(row(page, client)).to_have_count(1)
        expect(page.locator("#code .is-here").first).to_be_visible()
        if variant == "asyncio":
            page.locator("#caught summary").click()
            row(page, client).get_by_role("button", name="Tap").click()
            expect(page.locator("#tap")).to_be_visible()
        assert serious(page) == []


@light
def test_it_fits_a_phone(page: Page, deck: Deck, clients: Clients) -> None:
    page.set_viewport_size({"width": 375, "height": 740})
    server = deck.start("blocking", name="mine-with-a-name-that-is-rather-long-for-a-small-screen")
    for _ in range(5):
        clients.to(server, b"hello")
    live(page, f"/ui/servers/{server['name']}")
    expect(page.locator(".outside .standing li")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_without_javascript_it_shows_the_same(
    browser: Browser, deck: Deck, clients: Clients, complaints: list[str]
) -> None:
    server = deck.start("asyncio", name="mine")
    client = clients.to(server, b"hello")
    assert client.recv(5) == b"hello"
    context = open_context(browser, deck, complaints, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/servers/mine")
    expect(row(page, client)).to_contain_text("5 B")
    page.get_by_label("Backlog").fill("17")
    page.get_by_role("button", name="Change").click()
    assert deck.server("mine")["spec"]["backlog"] == 17
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#story")).to_contain_text("was changed")
    expect(page).to_have_url(re.compile("/ui/servers/mine$"))
    context.close()
