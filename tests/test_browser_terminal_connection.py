"""What happens to the connection of a browser terminal, and how it comes back."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from tests.browser_terminals import (
    TERMINALS,
    line,
    opened,
    pane,
    press,
    screen,
    send,
    status,
)
from tests.browsing import Deck, forgive, light, open_context, serious
from tests.conftest import Program


def test_the_second_client_of_a_blocking_server_waits_until_the_first_quits(page: Page, deck: Deck) -> None:
    deck.start("blocking", name="one-by-one")
    page.goto("/")
    first = opened(page, "one-by-one")
    expect(status(first)).to_contain_text("inside")
    second = opened(page, "one-by-one", 2)
    expect(status(second)).to_contain_text("waiting in the backlog: the server has not accepted this yet")
    send(second, "patience")
    assert serious(page) == []
    send(first, "hello")
    send(first, "quit")
    expect(status(first)).to_contain_text("closed by the server")
    expect(screen(first)).to_contain_text("the server closed its side")
    expect(status(second)).to_contain_text("inside")
    expect(status(second).get_by_role("link")).to_have_attribute("href", "/ui/servers/one-by-one#connections")
    send(second, "quit")
    expect(screen(second)).to_contain_text("> quitpatience")


@light
def test_one_knows_which_connection_is_ours(page: Page, echo: Locator, deck: Deck) -> None:
    [mine] = page.evaluate(
        f"async () => {{ {TERMINALS} return terminals.list.map(({{server, number, status, local, connection}}) => ({{server, number, status, local, connection}})); }}"
    )
    [known] = deck.rest.get("/connections?server=echo").json()["items"]
    assert mine == {
        "server": "echo", "number": 1, "status": "inside", "local": known["peer"], "connection": known["id"],
    }  # fmt: skip


@light
def test_who_listens_is_told_what_happens(page: Page, echo: Locator) -> None:
    page.evaluate(
        f"""async () => {{ {TERMINALS} window.heard = [];
        for (const type of ["sent", "received", "closed"])
          terminals.addEventListener(type, ({{detail}}) => window.heard.push(`${{type}} ${{detail.name}} ${{detail.lastSent}}`)); }}"""
    )
    send(echo, "hi")
    expect(screen(echo)).to_contain_text("hihi")
    press(echo, "Send EOF")
    expect(status(echo)).to_contain_text("closed: you ended")
    assert page.evaluate("window.heard") == ["sent echo #1 hi\n", "received echo #1 hi\n", "closed echo #1 hi\n"]


@light
def test_eof_still_lets_the_server_answer(page: Page, deck: Deck) -> None:
    deck.start("blocking", name="collects")
    page.goto("/")
    terminal = opened(page, "collects")
    send(terminal, "all of it")
    press(terminal, "Send EOF")
    expect(status(terminal)).to_contain_text("closed")
    expect(screen(terminal)).to_contain_text("> all of it")
    expect(screen(terminal).locator("div", has_text=re.compile("^all of it"))).to_have_count(1)


@light
def test_a_line_that_is_being_written_keeps_our_side_open(page: Page, deck: Deck) -> None:
    deck.start("blocking", name="ends")
    page.goto("/")
    terminal = opened(page, "ends")
    expect(status(terminal)).to_contain_text("inside")
    line(terminal).fill("half a line")
    press(terminal, "Send quit")
    expect(status(terminal)).to_contain_text("the server closed its side; you can still send")
    press(terminal, "Send EOF")
    expect(status(terminal)).to_contain_text("closed by the server")


@light
def test_a_hang_up_is_seen(echo: Locator, deck: Deck) -> None:
    [connection] = deck.rest.get("/connections?server=echo").json()["items"]
    assert deck.rest.delete(f"/connections/{connection['id']}").status_code == 204
    expect(status(echo)).to_contain_text(re.compile("closed by the server|reset by the server"))
    press(echo, "Reconnect")
    expect(status(echo)).to_contain_text("inside")
    send(echo, "again")
    expect(screen(echo)).to_contain_text("> againagain")


@light
def test_a_server_that_is_stopped_can_be_started_from_here(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="still", start=False)
    page.goto("/")
    page.locator('main [data-terminal="still"]').first.click()
    terminal = pane(page, "still #1")
    expect(status(terminal)).to_contain_text("refused: nobody listens there")
    press(terminal, "Start it and reconnect")
    expect(status(terminal)).to_contain_text("inside")


@light
def test_a_server_stopped_meanwhile_is_offered_again_not_taken(echo: Locator, deck: Deck) -> None:
    deck.rest.post("/servers/echo/stop")
    expect(status(echo)).to_contain_text("closed: the server was stopped")
    send(echo, "nobody hears")
    expect(echo.get_by_role("alert")).to_contain_text("Not sent: the connection has ended")
    expect(line(echo)).to_have_value("nobody hears")
    deck.rest.post("/servers/echo/start")
    expect(status(echo)).to_contain_text("The server runs again.")
    assert deck.server("echo")["connections"]["open"] == 0
    press(echo, "Reconnect")
    expect(status(echo)).to_contain_text("inside")


@light
def test_a_server_removed_meanwhile_is_not_offered(echo: Locator, deck: Deck, complaints: list[str]) -> None:
    deck.rest.delete("/servers/echo")
    expect(status(echo)).to_contain_text("There is no such server any more.")
    expect(echo.get_by_role("button", name="Start it and reconnect")).to_have_count(0)
    deck.start("asyncio", name="echo")
    expect(status(echo)).to_contain_text("The server runs again.")
    forgive(complaints)


@light
def test_an_unknown_server_is_told_of(page: Page, complaints: list[str]) -> None:
    page.goto("/")
    page.evaluate(f"async () => {{ {TERMINALS} openTerminal('nowhere'); }}")
    expect(status(pane(page, "nowhere #1"))).to_contain_text("There is no server 'nowhere'")
    told = [one for one in complaints if "404" in one]
    assert told
    complaints.clear()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_restart_of_the_app_terminals_come_back_by_themselves(
    browser: Browser, complaints: list[str], tmp_path: Path, how: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    options = ("--state", str(tmp_path / "state.sqlite3"), "--port", port)
    deck = Deck(*options)
    deck.start("asyncio", name="echo")
    context = open_context(browser, deck, complaints)
    page = context.new_page()
    page.goto("/")
    terminal = opened(page, "echo")
    send(terminal, "before")
    expect(screen(terminal)).to_contain_text("before")
    deck.program.signal(how)
    expect(status(terminal)).to_contain_text("It connects again by itself.")
    deck.program.wait()
    again = Program(*options)
    try:
        expect(status(terminal)).to_contain_text("inside")
        send(terminal, "after")
        expect(screen(terminal)).to_contain_text("> afterafter")
        expect(screen(terminal)).to_contain_text("before")
    finally:
        context.close()
        again.end()
        deck.end()
    assert [one for one in complaints if "net::ERR" not in one] == []


@light
def test_what_a_later_app_says_besides_is_ignored(page: Page, deck: Deck) -> None:
    def between(page_end: WebSocketRoute) -> None:
        app_end = page_end.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if isinstance(message, str):
                page_end.send('{"type":"weather","is":"fine"}')
                message = json.dumps(json.loads(message) | {"more": {"deep": [None]}})
            page_end.send(message)

        app_end.on_message(pass_on)

    page.route_web_socket("**/terminal", between)
    deck.start("asyncio", name="later")
    page.goto("/")
    one = opened(page, "later")
    expect(status(one)).to_contain_text("inside")
    send(one, "hi")
    expect(screen(one)).to_contain_text("> hihi")
