"""TCP clients beside a browser, as a server's page shows them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Locator, Page

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
