"""Browser terminals as a test drives them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browsing import Deck, eventually

PASTE = """(field, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  field.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""

PASTE_MANY = PASTE.replace("(field, text) => {", "(field, [line, times]) => { const text = line.repeat(times);")

TERMINALS = "const {terminals, openTerminal} = await import(new URL('terminal/dock.js', document.querySelector('script[type=module][src]').src).href);"


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
