"""What every page has, in a real Chromium: navigation, theme, language, phone, and that it serves everybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import Deck, connect, eventually, light, live, open_context, refused, serious
from tests.conftest import Program
from tests.helpers import first


@light
def test_going_from_page_to_page_stays_in_the_document(page: Page, deck: Deck) -> None:
    deck.start("asyncio", name="mine")
    live(page)
    page.evaluate("window.sameDocument = true")
    pages = page.get_by_role("navigation", name="Pages")
    for name, path in (("Exceptions", "/ui/exceptions"), ("Loop", "/ui/loop"), ("Servers", "/")):
        pages.get_by_role("link", name=name).click()
        expect(pages.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
        expect(page).to_have_url(re.compile(rf"{path}$"))
        assert page.evaluate("window.sameDocument")
    page.locator("#server-mine h3 a").click()
    expect(page).to_have_title(re.compile("mine"))
    page.go_back()
    expect(page.locator("#server-mine .state")).to_contain_text("running")
    assert page.evaluate("window.sameDocument")


@light
def test_who_goes_back_is_where_he_was(page: Page, deck: Deck) -> None:
    for name in range(20):
        deck.start("asyncio", name=f"server-{name}")
    live(page)
    page.evaluate("scrollTo(0, 700)")
    page.locator("#server-server-12 h3 a").click()
    expect(page).to_have_title(re.compile("server-12"))
    page.go_back()
    expect(page.locator("#server-server-12 .state")).to_contain_text("running")
    eventually(lambda: abs(page.evaluate("scrollY") - 700) < 100, lambda: f"at {page.evaluate('scrollY')}")


@light
def test_an_address_that_is_none_is_a_page_too(page: Page, complaints: list[str]) -> None:
    live(page, "/nowhere")
    expect(page.get_by_role("heading", name="There is no such thing")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("There is nothing at /nowhere.")
    refused(complaints, 1)


def test_a_viewer_sees_what_each_server_is(browser: Browser, complaints: list[str]) -> None:
    deck = Deck(ECHODECK_TOKEN="secret", ECHODECK_VIEWER_TOKEN="looks")
    deck.rest.headers["Authorization"] = "Bearer secret"
    deck.start("asyncio", name="mine")
    context = open_context(browser, deck, complaints)
    try:
        page = context.new_page()
        page.goto("/?whole=true")
        page.get_by_label("Token").fill("looks")
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(re.compile("whole=true$"))
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
        deck.rest.patch("/servers/mine", json={"backlog": 99})
        expect(page.locator("#latest")).to_contain_text("was changed")
        expect(page.locator("#server-mine .who")).to_contain_text("Coroutines with contained errors")
        expect(page.locator("#server-mine").get_by_role("button")).to_have_count(0)
    finally:
        context.close()
        deck.end()
    refused(complaints, 1)
    assert complaints == []


@light
def test_the_theme_is_switched_at_once_and_remembered(page: Page) -> None:
    live(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("link", name="Dark").click()
    assert page.evaluate(ground) != before
    dark = page.evaluate(ground)
    page.reload()
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("link", name="Dark")).to_have_attribute("aria-current", "true")


def test_the_page_says_when_the_app_is_gone_and_goes_on_when_it_is_back(
    browser: Browser, complaints: list[str], tmp_path: Path
) -> None:
    state = str(tmp_path / "state.sqlite3")
    first = Program("--state", state)
    deck = Deck.__new__(Deck)
    deck.url = first.url
    context = open_context(browser, deck, complaints)
    try:
        page = live(context.new_page())
        page.get_by_role("button", name="Start asyncio", exact=True).click()
        expect(page.locator(".room .state")).to_contain_text("running")
        first.end()
        expect(page.locator("#live")).to_contain_text("no connection")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
        page.get_by_role("button", name="Dismiss").click()
        page.get_by_role("link", name="Exceptions").click()  # the browser's own error page would be in its place
        expect(page.get_by_role("alert")).to_contain_text("Nobody answers")
        expect(page.locator(".room")).to_have_count(1)
        again = Program("--state", state, "--port", str(first.port))
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".room .state")).to_contain_text("stopped")
        again.end()
    finally:
        context.close()
        first.end()
    assert [one for one in complaints if "ERR_" not in one] == []


TOO_SMALL = """() => {
  // WCAG 2.2, 2.5.8: 24 px each way; what is smaller has that room to itself; links within a text are as high as it.
  const all = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
    .filter((one) => one.checkVisibility({visibilityProperty: true, opacityProperty: true}) && one.getClientRects().length && !one.matches(".skip"));
  const box = (one) => (one.closest("label") ?? one).getBoundingClientRect();
  const inText = (one) => getComputedStyle(one).display === "inline" && [...one.parentNode.childNodes].some((other) => other.nodeType === 3 && other.data.trim());
  return all.filter((one) => {
    const {width, height, left, top} = box(one);
    if ((width >= 24 && height >= 24) || inText(one)) return false;
    const x = left + width / 2, y = top + height / 2;
    return all.some((other) => {
      const near = box(other);
      return other !== one && !one.contains(other) && !other.contains(one) && Math.hypot(Math.max(near.left - x, x - near.right, 0), Math.max(near.top - y, y - near.bottom, 0)) < 12;
    });
  }).map((one) => `${one.outerHTML.slice(0, 100)} ${Math.round(box(one).width)} x ${Math.round(box(one).height)}`);
}"""


@pytest.mark.parametrize(
    "path",
    first(3, ["/", "/ui/servers/echo", "/ui/lab", "/ui/glass", "/ui/servers/gate", "/ui/exceptions", "/ui/loop"]),
)
def test_the_page_fits_a_phone_and_a_finger(page: Page, deck: Deck, path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    gate, echo = deck.start("blocking", name="gate"), deck.start("asyncio", name="echo")
    deck.start("nonblocking", name="polls")
    with connect(echo["port"], b"boom\n"), connect(echo["port"]), connect(gate["port"]), connect(gate["port"]):
        eventually(lambda: deck.server("echo")["exceptions"], lambda: "no exception")
        live(page, path)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate(TOO_SMALL) == []
        assert serious(page) == []


@pytest.mark.parametrize("path", ["/", "/ui/servers/gone", "/docs"])
def test_nothing_serious_stands_in_anybodys_way(page: Page, deck: Deck, complaints: list[str], path: str) -> None:
    deck.start("asyncio", name="mine")
    page.goto(path)
    if path == "/docs":
        expect(page.locator(".opblock").first).to_be_visible()
    assert serious(page) == []
    if "gone" in path:
        refused(complaints, 1)


def test_the_login_page_serves_everybody(browser: Browser, complaints: list[str]) -> None:
    deck = Deck(ECHODECK_TOKEN="secret")
    context = open_context(browser, deck, complaints)
    try:
        page = context.new_page()
        page.goto("/")
        assert serious(page) == []
        page.get_by_label("Token").fill("secret")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#live")).to_have_attribute("data-status", "live")
    finally:
        context.close()
        deck.end()
    refused(complaints, 1)
    assert complaints == []


NO_CATALOGUE = """() => {
  const outside = (text) => {
    const left = text.replace(/⟦[^⟦⟧]*⟧/g, "");
    return left === text ? text : outside(left);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const within = node.parentElement;
    if (!within.checkVisibility() || within.closest('[translate="no"], script, style, .xterm')) continue;
    const left = outside(node.textContent);
    if (/[A-Za-z]{2,}/.test(left.replace(/\\b(ms|kB|MB|GB|TB|EN)\\b/g, ""))) found.push(left.trim());
  }
  for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]"))
    for (const name of ["aria-label", "placeholder", "title"]) {
      const left = outside(element.getAttribute(name) ?? "");
      if (/[A-Za-z]{2,}/.test(left) && !element.closest('[translate="no"], .xterm')) found.push(`${name}: ${left}`);
    }
  return found;
}"""


@light
@pytest.mark.parametrize("path", first(3, ["/", "/ui/servers/mine", "/ui/loop", "/ui/exceptions", "/ui/servers/gone"]))
def test_no_text_is_outside_the_catalogue(page: Page, deck: Deck, complaints: list[str], path: str) -> None:
    """In the language whose every message stands in brackets."""
    server = deck.start("asyncio", name="mine")
    with connect(server["port"], b"boom\n") as one:
        assert one.recv(9) == b""
    with connect(server["port"], b"hello\n"):
        page.goto("/ui/choose?language=xx")
        page.goto(path)
        expect(page.locator("#live")).to_have_text("⟦live⟧")
        if "gone" not in path:
            deck.rest.patch("/servers/mine", json={"backlog": 99})
        eventually(lambda: page.evaluate(NO_CATALOGUE) == [], lambda: f"outside: {page.evaluate(NO_CATALOGUE)}")
    complaints[:] = [one for one in complaints if "404" not in one]


@light
def test_the_page_speaks_chinese_to_who_wants_it(
    browser: Browser, deck: Deck, page: Page, complaints: list[str]
) -> None:
    context = open_context(browser, deck, complaints, locale="zh-CN")
    chinese = live(context.new_page())
    chinese.get_by_role("button", name=re.compile("asyncio$")).last.click()
    expect(chinese.locator(".room .state")).to_contain_text("运行中")
    chinese.get_by_role("link", name=re.compile("English")).click()
    expect(chinese.locator(".room .state")).to_contain_text("running")
    context.close()


@light
def test_the_api_document_works_without_the_internet(page: Page) -> None:
    page.goto("/docs")
    operation = page.locator("#operations-servers-list_servers_servers_get")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tr.response .response-col_status").first).to_contain_text("200")
