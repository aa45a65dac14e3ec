"""A server's page in a real Chromium: its door, what it raised, its settings, and where it is in its source."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser_clients import EVIL, MINE, Clients, at, row
from tests.browsing import Deck, eventually, forgive, light, live, open_context, refused, serious


def marked(page: Page) -> list[str]:
    return page.locator("#code .is-here").all_inner_texts()


@pytest.mark.in_firefox
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


@pytest.mark.in_firefox
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
