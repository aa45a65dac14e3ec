"""The browser terminal: the real program, a real Chromium."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browsing import Deck, eventually, light, open_context, serious
from tests.conftest import Program

PASTE = """(field, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  field.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""
PASTE_MANY = PASTE.replace("(field, text) => {", "(field, [line, times]) => { const text = line.repeat(times);")
TERMINALS = "const {terminals, openTerminal} = await import('/static/terminal/dock.js');"

ESC = re.compile(r"␛|\\x1b")
"""How ESC is shown: as a picture if the machine has a font with those."""


def pane(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=f"Terminal {name}", exact=True)


def opened(page: Page, server: str, number: int = 1) -> Locator:
    """Open a terminal by the server's button."""
    page.locator(f'main [data-terminal="{server}"]').first.click()
    terminal = pane(page, f"{server} #{number}")
    expect(line(terminal)).to_be_focused()
    return terminal


def screen(terminal: Locator) -> Locator:
    return terminal.locator(".xterm-rows")


def line(terminal: Locator) -> Locator:
    return terminal.get_by_role("textbox", name=re.compile("^Line to send"))


def status(terminal: Locator) -> Locator:
    return terminal.locator(".status")


def send(terminal: Locator, text: str) -> None:
    line(terminal).fill(text)
    line(terminal).press("Enter")


def press(terminal: Locator, name: str) -> None:
    terminal.get_by_role("button", name=name, exact=True).click()


def recording(page: Page, terminal: Locator) -> list[dict[str, Any]]:
    with page.expect_download() as download:
        press(terminal, "Download")
    assert download.value.suggested_filename == "echo-1.jsonl"
    return [json.loads(one) for one in Path(download.value.path()).read_text().splitlines()]


def sent(deck: Deck, server: str, count: int) -> None:
    """Wait until the server has got so many bytes, and no more."""
    eventually(lambda: deck.server(server)["bytes_in"] == count, lambda: f"not {count} bytes: {deck.server(server)}")


@pytest.fixture
def echo(page: Page, deck: Deck) -> Locator:
    """A terminal to an asyncio echo server named echo."""
    deck.start("asyncio", name="echo")
    page.goto("/")
    terminal = opened(page, "echo")
    expect(status(terminal)).to_contain_text("inside")
    return terminal


# Line mode


def test_a_line_comes_back(echo: Locator) -> None:
    send(echo, "hello")
    expect(screen(echo)).to_contain_text("> hello")
    expect(screen(echo).locator("div", has_text=re.compile("^hello"))).to_have_count(1)
    expect(line(echo)).to_have_value("")
    expect(echo).to_contain_text("sent 6 B · received 6 B")


@light
def test_the_arrow_keys_bring_earlier_lines_back(echo: Locator) -> None:
    for text in ("first", "second"):
        send(echo, text)
    line(echo).fill("draft")
    for key, shown in (
        ("ArrowUp", "second"), ("ArrowUp", "first"), ("ArrowUp", "first"),
        ("ArrowDown", "second"), ("ArrowDown", "draft"), ("ArrowDown", "draft"),
    ):  # fmt: skip
        line(echo).press(key)
        expect(line(echo)).to_have_value(shown)


@light
def test_another_terminal_to_the_server_knows_its_lines(page: Page, echo: Locator) -> None:
    send(echo, "known")
    echo.get_by_role("button", name="Another").click()
    other = pane(page, "echo #2")
    line(other).press("ArrowUp")
    expect(line(other)).to_have_value("known")


@light
def test_escapes_become_bytes(echo: Locator, deck: Deck) -> None:
    send(echo, r"a\tb\x00\xff\\\r")
    expect(screen(echo)).to_contain_text(r"\xff\ ")
    press(echo, "Hex")
    expect(echo.locator(".hex .received")).to_contain_text("61 09 62 00 ff 5c 0d 0a")
    sent(deck, "echo", 8)


@light
@pytest.mark.parametrize(("text", "escape"), [(r"a\qb", r"\q"), (r"\x4", r"\x4"), ("end\\", "\\"), (r"\xg1", r"\xg")])
def test_a_wrong_escape_is_told_and_nothing_is_sent(echo: Locator, deck: Deck, text: str, escape: str) -> None:
    send(echo, text)
    expect(echo.get_by_role("alert")).to_contain_text(f"{escape} is no escape")
    expect(line(echo)).to_have_value(text)
    send(echo, "right")
    expect(echo.get_by_role("alert")).to_have_count(0)
    sent(deck, "echo", 6)


@light
@pytest.mark.parametrize(
    ("ending", "count", "shown"),
    [("LF", 3, "> hi$"), ("CRLF", 4, r"> hi(␍␊|\\r\\n)$"), ("none", 2, r"> hi \(no line end\)$")],
)
def test_a_line_ends_as_chosen(echo: Locator, deck: Deck, ending: str, count: int, shown: str) -> None:
    echo.get_by_label("Line end").select_option(ending)
    send(echo, "hi")
    expect(screen(echo).locator("> div").first).to_have_text(re.compile(shown))
    sent(deck, "echo", count)


@light
def test_a_paste_of_lines_goes_as_lines_and_leaves_the_last_to_be_written_on(echo: Locator, deck: Deck) -> None:
    line(echo).fill("so ")
    line(echo).evaluate(PASTE, "one\r\ntwo\\q\nthr")
    expect(line(echo)).to_have_value("thr")
    sent(deck, "echo", len("so one\ntwo\\q\n"))
    expect(screen(echo)).to_contain_text("> two\\q")


@light
def test_the_quick_lines_are_sent(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Send hello")
    sent(deck, "echo", 6)
    press(echo, "Send boom")
    expect(status(echo)).to_contain_text("closed by the server")
    assert deck.rest.get("/exceptions").json()["items"][0]["message"] == "boom"
    expect(echo.get_by_role("button", name="Send hello")).to_be_disabled()


# What happens to a connection


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
def test_a_server_removed_meanwhile_is_not_offered(echo: Locator, deck: Deck) -> None:
    deck.rest.delete("/servers/echo")
    expect(status(echo)).to_contain_text("There is no such server any more.")
    expect(echo.get_by_role("button", name="Start it and reconnect")).to_have_count(0)
    deck.start("asyncio", name="echo")
    expect(status(echo)).to_contain_text("The server runs again.")


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
        expect(status(terminal)).to_contain_text("inside", timeout=20_000)
        send(terminal, "after")
        expect(screen(terminal)).to_contain_text("> afterafter")
        expect(screen(terminal)).to_contain_text("before")
    finally:
        context.close()
        again.end()
        deck.end()
    assert [one for one in complaints if "net::ERR" not in one] == []


# What is shown


@light
def test_markup_is_text(page: Page, echo: Locator) -> None:
    send(echo, "<img src=x onerror=alert(1)><script>alert(2)</script>")
    expect(screen(echo)).to_contain_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    press(echo, "Hex")
    expect(echo.locator(".hex")).to_contain_text("<img src=x onerr")
    expect(echo.locator("img, script")).to_have_count(0)


@light
def test_control_bytes_stand_there_and_do_nothing(page: Page, echo: Locator, deck: Deck) -> None:
    title = page.title()
    send(echo, r"\x1b]0;stolen\x07\x1b]52;c;c3RvbGVu\x07\x1b[?1049h\x1b[6n\x7f\xc2\x9b")
    expect(screen(echo)).to_contain_text(re.compile(rf"({ESC.pattern})\[6n(␡|\\x7f)\\xc2\\x9b"))
    expect(screen(echo)).to_contain_text("]0;stolen")
    assert page.title() == title
    send(echo, "after")
    expect(screen(echo)).to_contain_text("after")
    sent(deck, "echo", 43 + 6)  # no answer to the query


@light
def test_characters_that_were_cut_are_put_together(echo: Locator) -> None:
    echo.get_by_label("Line end").select_option("none")
    send(echo, r"[\xe4\xbd")
    expect(echo).to_contain_text("received 3 B")
    send(echo, r"\xa0]")
    expect(screen(echo)).to_contain_text("你]".replace("你", "\u4f60"))
    send(echo, r"\xe4A")
    expect(screen(echo)).to_contain_text(r"\xe4A")


def test_ansi_acts_on_the_screen_alone(page: Page, echo: Locator, deck: Deck) -> None:
    title = page.title()
    press(echo, "Interpret ANSI")
    expect(echo).to_contain_text("queries are not answered")
    page.evaluate("() => { navigator.clipboard.writeText = () => console.error('the clipboard was written to'); }")
    for text in (
        r"\x1b]0;stolen\x07", r"\x1b]52;c;c3RvbGVu\x07", r"\x1b[6n\x1b[c", r"\x1b[2147483647S\x1b[2147483647b",
        r"\x1b[31mred \x1b[38;2;9;9;9mblack on black\x1b[0m", r"\x1b]8;;http://example.org\x07link\x1b]8;;\x07",
    ):  # fmt: skip
        send(echo, text)
    expect(screen(echo)).to_contain_text("red black on black")
    expect(screen(echo)).to_contain_text("link")
    expect(echo).to_contain_text("sent 140 B · received 140 B")
    assert page.title() == title
    sent(deck, "echo", 140)  # and no answer
    assert serious(page) == []
    send(echo, r"\x1b[?1049h\x1b[2Jelsewhere")
    expect(screen(echo)).not_to_contain_text("red")
    press(echo, "Interpret ANSI")
    expect(screen(echo)).to_contain_text("black on black")


@light
def test_hex_shows_both_directions(page: Page, echo: Locator) -> None:
    send(echo, "0123456789abcdefXY")
    expect(screen(echo)).to_contain_text("XY0123")
    press(echo, "Hex")
    dump = echo.locator(".hex")
    expect(dump).to_have_text(
        "> 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n"
        "> 00000010  58 59 0a                                          XY.\n"
        "< 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n"
        "< 00000010  58 59 0a                                          XY.",
        use_inner_text=True,
    )
    send(echo, "z")
    expect(dump).to_contain_text("< 00000013  7a 0a")
    dump.focus()
    expect(dump).to_be_focused()
    press(echo, "Hex")
    expect(screen(echo)).to_contain_text("XY0123")


@light
def test_hex_shows_the_latest_of_much(page: Page, echo: Locator) -> None:
    press(echo, "Hex")
    line(echo).evaluate(PASTE_MANY, ["0123456789abcde\n", 65_536])
    expect(echo).to_contain_text("received 1.0 MB")
    expect(echo.locator(".hex")).to_contain_text("< 000ffff0  30 31 32 33")
    lines = echo.locator(".hex").evaluate("(hex) => hex.textContent.split('\\n').length")
    assert 65_536 // 16 <= lines < 4 * 65_536 // 16


@light
def test_who_types_or_pastes_at_the_screen_writes_the_line(page: Page, echo: Locator, deck: Deck) -> None:
    screen(echo).click(force=True)
    page.keyboard.type("hi")
    expect(line(echo)).to_be_focused()
    expect(line(echo)).to_have_value("hi")
    echo.locator(".xterm-helper-textarea").evaluate(PASTE, " there\nand")
    expect(line(echo)).to_have_value("and")
    sent(deck, "echo", len("hi there\n"))


@light
def test_the_screen_scrolls_by_keys(page: Page, echo: Locator) -> None:
    line(echo).evaluate(PASTE, "".join(f"row {number}\n" for number in range(100)))
    expect(screen(echo)).to_contain_text("row 99")
    place = echo.get_by_role("group", name="Screen of")
    place.press("Home")
    expect(screen(echo)).to_contain_text("> row 0")
    place.press("PageDown")
    expect(screen(echo)).not_to_contain_text("> row 0")
    place.press("End")
    expect(screen(echo)).to_contain_text("row 99")


@light
def test_what_comes_is_read_aloud_in_lines(echo: Locator) -> None:
    send(echo, "hello")
    expect(echo.get_by_role("log")).to_have_text("hello")


# Raw mode


@light
def test_keys_go_as_they_are_typed_and_f6_leaves(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Raw keys")
    expect(echo).to_contain_text("F6 leaves the screen")
    page.keyboard.type("hey")
    expect(screen(echo)).to_contain_text("hey")
    sent(deck, "echo", 3)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    expect(screen(echo)).to_contain_text(re.compile(rf"({ESC.pattern})\[A"))
    sent(deck, "echo", 3 + 1 + 1 + 3)
    page.keyboard.press("F6")
    expect(echo.get_by_role("button", name="Raw keys")).to_be_focused()
    page.keyboard.press("Enter")
    expect(line(echo)).to_be_visible()


@light
def test_raw_mode_answers_queries_only_if_ansi_is_interpreted(page: Page, echo: Locator, deck: Deck) -> None:
    press(echo, "Raw keys")
    echo.locator(".xterm-helper-textarea").evaluate(PASTE, "\x1b[6n")
    expect(screen(echo)).to_contain_text("[6n")
    sent(deck, "echo", 4)
    press(echo, "Interpret ANSI")
    echo.locator(".xterm-helper-textarea").evaluate(PASTE, "\x1b[c")
    eventually(lambda: deck.server("echo")["bytes_in"] > 7, lambda: "the emulator has not answered")


# Much


@light
def test_ten_megabytes_arrive_whole(page: Page, echo: Locator, deck: Deck) -> None:
    line(echo).evaluate(PASTE_MANY, ["0123456789abcde\n", 655_360])
    expect(echo.get_by_role("progressbar")).to_be_visible()
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
def test_the_recording_is_json_lines(page: Page, echo: Locator) -> None:
    send(echo, "héllo")
    send(echo, r"\xff")
    expect(echo).to_contain_text("received 9 B")
    press(echo, "Send EOF")
    expect(status(echo)).to_contain_text("closed")
    entries = recording(page, echo)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", one["at"]) for one in entries)
    told: list[Any] = [one.get("text", one.get("base64")) for one in entries]
    assert [one for one in told if one != "waiting"] == [
        "opened", "accepted", "héllo\n", "héllo\n", "/wo=", "/wo=", "eof sent", "eof from the server", "closed",
    ]  # fmt: skip
    assert [one["dir"] for one in entries if "offset" in one] == ["out", "in", "out", "in"]
    assert entries[-1]["code"] == 1000


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


# The dock


@light
def test_the_dock_folds_and_is_resized_by_keys(page: Page, echo: Locator) -> None:
    dock = page.get_by_role("region", name="Terminals", exact=True)
    handle = dock.get_by_role("separator")
    handle.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "240")
    handle.press("ArrowUp")
    expect(handle).to_have_attribute("aria-valuenow", "264")
    page.reload()
    echo = opened(page, "echo")
    expect(handle).to_have_attribute("aria-valuenow", "264")
    send(echo, "kept")
    press(dock, "Fold")
    expect(echo).to_have_count(0)
    assert page.locator(".xterm").count() == 0
    dock.get_by_role("button", name="echo #1 inside").click()
    expect(screen(echo)).to_contain_text("> keptkept")
    press(echo, "Close echo #1")
    expect(dock).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).paddingBottom") == "0px"


@light
def test_leaving_the_page_asks_first(page: Page, echo: Locator) -> None:
    send(echo, "I am here")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == ["beforeunload"]


def test_nothing_serious_is_found_by_axe(page: Page, deck: Deck, echo: Locator) -> None:
    deck.start("blocking", name="one-by-one")
    expect(page.locator('main [data-terminal="one-by-one"]').first).to_be_visible()
    opened(page, "one-by-one")
    waiting = opened(page, "one-by-one", 2)
    expect(status(waiting)).to_contain_text("waiting")
    send(echo, r"\x1b\xff and a wrong one")
    send(echo, r"\q")
    assert serious(page) == []
    press(echo, "Raw keys")
    assert serious(page) == []
    page.keyboard.press("F6")
    press(echo, "Hex")
    deck.rest.post("/servers/one-by-one/stop")
    expect(status(waiting)).to_contain_text("stopped")
    assert serious(page) == []


@light
def test_the_theme_is_followed(page: Page, echo: Locator) -> None:
    colour = "getComputedStyle(document.querySelector('.xterm-scrollable-element')).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("link", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(colour) != before


@pytest.fixture
def phone(browser: Browser, deck: Deck, complaints: list[str]) -> Iterator[Page]:
    context = open_context(browser, deck, complaints, viewport={"width": 375, "height": 740}, has_touch=True)
    yield context.new_page()
    context.close()
    assert complaints == []


def test_a_phone_shows_one_terminal_at_a_time(phone: Page, deck: Deck) -> None:
    deck.start("asyncio", name="echo")
    deck.start("blocking", name="blocking-with-a-rather-long-name")
    phone.goto("/")
    first = opened(phone, "echo")
    second = opened(phone, "blocking-with-a-rather-long-name")
    expect(first).to_have_count(0)
    send(second, "x" * 300)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 375
    assert serious(phone) == []
    phone.get_by_role("button", name="echo #1 inside").click()
    expect(line(first)).to_be_focused()
    send(first, "hello")
    expect(screen(first)).to_contain_text("> hellohello")


def test_the_words_are_in_the_catalogue_of_marks(phone: Page, deck: Deck) -> None:
    """Every message in brackets: what is not, is in no catalogue."""
    deck.start("asyncio", name="echo")
    phone.context.add_cookies([{"name": "echodeck-language", "value": "xx", "url": deck.url}])
    phone.goto("/")
    phone.locator('main [data-terminal="echo"]').first.click()
    terminal = phone.locator(".pane")
    expect(terminal.locator(".status")).to_contain_text("⟦inside⟧")
    assert (
        phone.evaluate(
            """() => [...document.querySelectorAll(".dock button, .dock option, .dock label")]
          .filter((one) => !one.querySelector("[translate=no]") && !["LF", "CRLF"].includes(one.textContent))
          .map((one) => one.textContent.trim()).filter((text) => !text.includes("⟦"))"""
        )
        == []
    )
