"""Takes README's picture: the page with some servers, and clients in them (`make picture`)."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import expect

from tests.browsing import Deck, chromium, live

PICTURE = Path(__file__).parent.parent / "page.png"
CLIENTS = {"blocking": 4, "nonblocking": 2, "selectors": 5, "asyncio": 7}


def main() -> None:
    with ExitStack() as open_ones:
        deck = Deck()
        open_ones.callback(deck.end)
        browser = open_ones.enter_context(chromium())

        def connect(name: str, data: bytes) -> None:
            address = ("127.0.0.1", deck.server(name)["port"])
            client = open_ones.enter_context(socket.create_connection(address, timeout=10))
            client.sendall(data)

        for name, count in CLIENTS.items():
            deck.start(name, name=name)
            for number in range(count):
                connect(name, b"hello\n" * 200 * number)
        connect("asyncio", b"boom\n")
        page = browser.new_page(
            base_url=deck.url, viewport={"width": 1280, "height": 900}, color_scheme="light", locale="en-US"
        )
        live(page)
        for name in ("asyncio", "blocking"):
            page.locator(f'#server-{name} [data-terminal="{name}"]').click()
            line = page.get_by_label(f"Line to send to {name} #1")
            line.fill("hello")
            line.press("Enter")
        expect(page.get_by_label("Terminal blocking #1").get_by_role("status")).to_contain_text("waiting")
        expect(page.get_by_role("log", name="Received by asyncio #1")).to_contain_text("hello")
        expect(page.locator("#server-asyncio")).to_contain_text("1 exception")
        page.evaluate("scrollTo(0, document.querySelector('.rooms').offsetTop - 60)")
        page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
