"""The page behind a reverse proxy, in a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser_terminals import opened, screen, send, status
from tests.helpers import first
from tests.proxied import Mount


@pytest.mark.parametrize("cut", first(1, [True, False]))
def test_a_browser_logs_in_sees_it_live_and_talks_to_a_server(mounted: Mount, browser: Browser, cut: bool) -> None:
    deck = mounted(cut, ECHODECK_TOKEN="secret")
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("request", lambda request: None if request.url.startswith("data:") else asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{deck.url}/ui/loop")
    said.clear()  # that it is answered with 401
    page.get_by_label("Token").fill("secret")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{deck.url}/ui/loop")
    (cookie,) = [one for one in context.cookies() if one["name"].startswith("echodeck-") and one["httpOnly"]]
    assert (cookie["secure"], cookie["path"]) == (True, "/lab/echodeck/")
    page.get_by_role("link", name="Servers", exact=True).click()
    expect(page).to_have_url(f"{deck.url}/")
    expect(page.locator("#live")).to_contain_text("live")
    with deck.client(headers={"Authorization": "Bearer secret"}) as api:
        api.post("/servers", json={"variant": "asyncio", "port": 0, "name": "one"})
    page.get_by_role("link", name="one", exact=True).first.click()
    expect(page).to_have_url(f"{deck.url}/ui/servers/one")
    terminal = opened(page, "one")
    expect(status(terminal)).to_contain_text("inside")
    send(terminal, "hello")
    expect(screen(terminal)).to_contain_text("hello")
    page.get_by_role("link", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", re.compile("zh"))
    expect(page).to_have_url(f"{deck.url}/ui/servers/one")
    page.goto(f"{deck.url}/docs")
    expect(page.locator("#api")).to_contain_text("/servers")
    assert said == []
    assert [one for one in asked if not one.startswith(f"{deck.url}/")] == []
    context.close()
