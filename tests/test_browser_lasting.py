"""Pages and terminals as people really use them: hidden for long, older than the app, translated, touched, in the system's
colours."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser_terminals import PASTE_MANY, line, opened, press, screen, send, status
from tests.browsing import STORAGE_BLOCKED, Deck, connect, eventually, light, live, open_context, page_of
from tests.conftest import Program

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""

TRANSLATE = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) found.push(walker.currentNode);
  for (const node of found) {
    if (!node.data.trim() || node.parentElement.closest("[translate=no], script, style, noscript")) continue;
    const font = document.createElement("font");
    node.replaceWith(font);
    font.append(`«${node.data}»`);
  }
}"""

TOUCH = """(place, [from, to]) => {
  const {left, top} = place.getBoundingClientRect();
  const at = (y) => new Touch({identifier: 1, target: place, clientX: left + 20, clientY: top + y});
  const send = (type, touches) => place.dispatchEvent(new TouchEvent(type, {touches, changedTouches: touches, bubbles: true, cancelable: true}));
  send("touchstart", [at(from)]);
  for (let step = 1; step <= 10; step++) send("touchmove", [at(from + (to - from) * step / 10)]);
  send("touchend", []);
}"""


@pytest.fixture
def echo(page: Page, deck: Deck) -> Locator:
    deck.start("asyncio", name="echo")
    live(page)
    terminal = opened(page, "echo")
    expect(status(terminal)).to_contain_text("inside")
    return terminal


def test_a_terminal_of_a_hidden_tab_comes_back_after_a_long_absence_of_the_app(
    browser: Browser, program: Callable[..., Program], tmp_path: object
) -> None:
    options = ("--state", f"{tmp_path}/state.db")
    running = program(*options)
    page = page_of(browser, running, "echo")
    page.clock.install()
    live(page)
    terminal = opened(page, "echo")
    expect(status(terminal)).to_contain_text("inside")
    page.evaluate(HIDE, True)
    running.end()
    expect(status(terminal)).to_contain_text("connects again by itself")
    for _ in range(14):
        page.clock.fast_forward(20_000)
        page.wait_for_timeout(50)
    expect(status(terminal)).to_contain_text("when the app is back")
    program(*options, "--port", str(running.port))
    page.evaluate(HIDE, False)
    page.clock.run_for(2000)
    expect(status(terminal)).to_contain_text("inside")
    page.context.close()


OLDER = """
from app.pages import page, style
page.build = style.build = page.environment.globals["build"] = lambda: "older"
from app.cli import main
main()
"""


def test_a_page_that_is_older_than_the_app_says_so_and_keeps_what_was_typed(
    browser: Browser, program: Callable[..., Program], tmp_path: object
) -> None:
    options = ("--state", f"{tmp_path}/state.db")
    older = program(*options, command=(sys.executable, "-c", OLDER))
    page = page_of(browser, older, "echo")
    page.add_init_script(STORAGE_BLOCKED)  # it needs none
    live(page)
    terminal = opened(page, "echo")
    expect(status(terminal)).to_contain_text("inside")
    page.get_by_label("Port").fill("8123")
    older.end()
    program(*options, "--port", str(older.port))
    expect(page.locator("#live")).to_have_attribute("data-status", "outdated")
    notice = page.get_by_role("status").filter(has_text="newer version")
    expect(notice).to_be_visible()
    page.request.post("/servers", data={"variant": "asyncio", "port": 0, "name": "unknown"})
    line(terminal).fill("not yet sent")
    press(terminal, "Hex")
    expect(status(terminal)).to_contain_text("inside")
    page.wait_for_timeout(500)
    expect(page.locator("#server-unknown")).to_have_count(0)
    notice.get_by_role("button", name="Load it again").click()
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    expect(page.locator("#server-unknown")).to_be_visible()
    expect(page.get_by_label("Port")).to_have_value("8123")
    expect(status(terminal)).to_contain_text("inside")
    expect(line(terminal)).to_have_value("not yet sent")
    expect(terminal.get_by_role("button", name="Hex")).to_have_attribute("aria-pressed", "true")
    page.context.close()


@light
def test_where_a_proxy_holds_the_feed_back_that_is_said(page: Page, deck: Deck) -> None:
    held = True
    page.route_web_socket(re.compile("/events"), lambda route: None if held else route.connect_to_server())
    page.route(re.compile("/events"), lambda route: None if held else route.continue_())
    page.clock.install()
    page.goto("/")
    expect(page.locator("#live-words")).to_have_text("connecting")
    page.clock.fast_forward(12_000)
    expect(page.locator("#live")).to_have_attribute("data-status", "held")
    expect(page.locator("#live-words")).to_contain_text("a proxy on the way may hold it back")
    held = False
    page.clock.fast_forward(20_000)  # it is opened anew
    expect(page.locator("#live")).to_have_attribute("data-status", "live")


@light
def test_a_translated_page_stays_up_to_date(page: Page, deck: Deck) -> None:
    made = deck.start("asyncio", name="echo")
    live(page)
    expect(page.locator("#server-echo")).to_be_visible()
    page.evaluate(TRANSLATE)
    expect(page.locator("nav.pages font").first).to_be_attached()  # words are translated
    with connect(made["port"], b"x"):
        expect(page.locator("#server-echo .count")).to_contain_text("1 inside")
        expect(page.locator("#count-connections")).to_have_text("1")
    deck.rest.post("/servers/echo/stop")
    expect(page.locator("#server-echo .state")).to_contain_text("stopped")


@light
def test_in_the_systems_colours_what_counts_is_seen(page: Page, deck: Deck) -> None:
    made = deck.start("asyncio", name="echo")
    page.emulate_media(forced_colors="active")
    live(page)
    with connect(made["port"], b"x"):
        dot = page.locator("#server-echo .inside i").first
        expect(dot).to_be_attached()

        def colour(place: Locator, what: str = "backgroundColor") -> str:
            return str(place.evaluate(f"(one) => getComputedStyle(one).{what}"))

        ground = colour(page.locator("body"))
        assert colour(dot) not in (ground, "rgba(0, 0, 0, 0)")
        for kind in ("nav.pages a", ".choice a"):
            current, other = (
                page.locator(f"{kind}[aria-current]").first,
                page.locator(f"{kind}:not([aria-current])").first,
            )
            assert colour(current) != colour(other)
        terminal = opened(page, "echo")
        hold = terminal.get_by_role("button", name="Hold", exact=True)
        before = colour(hold)
        hold.click()
        expect(hold).to_have_attribute("aria-pressed", "true")
        assert colour(hold) != before
        page.goto("/ui/servers/echo")
        assert colour(page.locator(".doorway .leaf")) not in (ground, "rgba(0, 0, 0, 0)")


def test_on_paper_is_what_is_told_and_not_what_is_done(page: Page, deck: Deck) -> None:
    server = deck.start("asyncio", name="echo")
    with connect(server["port"], b"boom\n"), connect(server["port"], b"x"):
        live(page)
        opened(page, "echo")
        page.locator("#server-echo h3 a").click()
        expect(page.locator("#connections tbody tr[id]")).to_have_count(2)
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
        for hidden in ("#terminals", "#commands", ".choices", "#sift"):
            expect(page.locator(hidden)).to_be_hidden()
        assert page.locator("body").evaluate("(body) => getComputedStyle(body).paddingBottom") == "0px"
        assert page.locator("html").evaluate("(html) => getComputedStyle(html).colorScheme") == "light"
        for whole in ("#sheet", "#code", "html"):
            assert page.locator(whole).evaluate("(one) => one.scrollWidth - one.clientWidth") <= 0, whole
        room = "(sheet) => sheet.clientHeight - sheet.querySelector('table').offsetHeight"
        assert page.locator("#sheet").evaluate(room) <= 0  # as high as its rows
        dot = page.locator(".inside-room .standing li").first
        adjusts = "(one) => getComputedStyle(one, '::before').printColorAdjust"
        eventually(lambda: dot.evaluate(adjusts) == "exact", lambda: "the dots are left to the browser")


NOBODY = """window.claims = 0;
new MutationObserver(() => window.claims += document.querySelectorAll("#sheet > .nobody").length).observe(document, {subtree: true, childList: true})"""


@light
def test_nobody_is_said_to_be_connected_before_the_app_has_told(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="echo")
    live(page)
    opened(page, "echo")
    page.evaluate(NOBODY)
    page.locator("#server-echo h3 a").click()
    expect(page.locator("#connections tr.is-yours")).to_have_count(1)
    assert page.evaluate("window.claims") == 0


WANTED_ANEW = """import(new URL('feed.js', document.querySelector('script[type=module][src]').src).href).then(({feed}) => {
  window.turns = window.early = 0;
  feed.follow(() => feed.told || window.early++);
  setInterval(() => feed.told && feed.want(["servers", "loop", ...(window.turns++ % 2 ? ["journal"] : [])]), 1);
})"""


@light
def test_what_was_told_of_other_topics_is_not_followed(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="echo")
    live(page)
    page.evaluate(WANTED_ANEW)
    eventually(lambda: page.evaluate("window.turns") > 50, lambda: "nothing is told")
    assert page.evaluate("window.early") == 0


@light
def test_the_screen_is_scrolled_by_a_finger(page: Page, echo: Locator) -> None:
    line(echo).evaluate(PASTE_MANY, ["a line\n", 300])
    send(echo, "the last")
    expect(screen(echo)).to_contain_text("the last")
    place = echo.locator(".screen")
    place.evaluate(TOUCH, [10, 150])
    expect(screen(echo)).not_to_contain_text("the last")
    place.evaluate(TOUCH, [150, 0])
    expect(screen(echo)).to_contain_text("the last")


def test_the_lines_have_room_where_the_window_is_low(browser: Browser, deck: Deck, complaints: list[str]) -> None:
    deck.start("asyncio", name="echo")
    context = open_context(browser, deck, complaints, viewport={"width": 640, "height": 400})
    page = context.new_page()
    live(page)
    terminal = opened(page, "echo")
    high = terminal.locator(".screen").evaluate("(place) => place.clientHeight")
    tools = terminal.locator(".tools").evaluate("(place) => place.clientHeight")
    assert high >= 90
    assert tools < high
    context.close()
    assert complaints == []


@light
def test_links_of_the_header_are_high_enough_for_a_finger(page: Page, deck: Deck) -> None:
    live(page)
    heights = page.locator("#top a").evaluate_all("(links) => links.map((one) => one.getBoundingClientRect().height)")
    assert len(heights) > 8
    assert min(heights) >= 24


@light
def test_a_key_that_is_held_down_sends_once(page: Page, echo: Locator, deck: Deck) -> None:
    line(echo).fill("hello")
    line(echo).focus()
    for _ in range(5):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    send(echo, "on")
    expect(screen(echo)).to_contain_text("on")
    eventually(lambda: deck.server("echo")["bytes_in"] == len("hello\non\n"), lambda: str(deck.server("echo")))


@light
def test_what_hides_is_shown(echo: Locator) -> None:
    send(echo, "a\u200bb\u00adc\U000e0041d\u2060e")
    for shown in ("\\u{200b}", "\\u{ad}", "\\u{e0041}", "\\u{2060}"):
        expect(screen(echo)).to_contain_text(shown)


@light
def test_select_all_takes_the_screen_and_not_the_page(page: Page, echo: Locator) -> None:
    send(echo, "hello")
    expect(screen(echo)).to_contain_text("hello")
    echo.locator(".screen").focus()
    page.keyboard.press("Control+a")
    assert page.evaluate("getSelection().toString()").strip() == ""
    expect(echo.locator(".xterm-selection div").first).to_be_attached()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("Control+c")
    eventually(
        lambda: page.evaluate("navigator.clipboard.readText()") == "> hello\nhello",
        lambda: f"copied {page.evaluate('navigator.clipboard.readText()')!r}",
    )


@light
def test_keys_without_a_picture_are_named_once_sent(page: Page, echo: Locator) -> None:
    press(echo, "Raw keys")
    for key, name in (("Escape", "Esc"), ("Tab", "Tab"), ("Control+c", "")):
        page.keyboard.press(key)
        expect(echo.locator(".hints")).to_contain_text(f"Sent last: {name}")


@light
@pytest.mark.parametrize(
    ("held", "size"),
    [
        (False, 5_000_000),
        (True, 45_000_000),  # more than the kernel's buffers take, which grow to 38 MB: tcp_rmem and tcp_wmem
        pytest.param(False, 45_000_000, marks=pytest.mark.slow),
    ],
)
def test_a_paste_of_any_size_passes(echo: Locator, deck: Deck, held: bool, size: int) -> None:
    if held:
        press(echo, "Hold")
    line(echo).evaluate(PASTE_MANY, ["0123456789" * 9_999 + "012345678\n", size // 100_000])
    if held:
        expect(echo).to_contain_text("received 262 kB")
        expect(echo.get_by_role("progressbar")).to_be_visible()
        press(echo, "Hold")
    megabytes = f"{size / 1e6:.1f} MB"
    expect(echo).to_contain_text(f"sent {megabytes} · received {megabytes}", timeout=250_000)
    now = deck.server("echo")
    assert (now["bytes_in"], now["bytes_out"]) == (size, size)
