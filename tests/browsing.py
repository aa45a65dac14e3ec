"""Real browsers on the app's pages: each error on their consoles, and each problem that axe finds, fails the test.

Tests are in Chromium. Those that are marked ``in_firefox`` are in Firefox, too (``tests.firefox``).
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import Program
from tests.helpers import PATIENCE

ROOT = Path(__file__).parent.parent
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = {"serious", "critical"}

expect.set_options(timeout=2_000 * PATIENCE)  # ms; a busy machine must not fail the test

# The violations of the content security policy, which the page's own scripts do not log.
LOG_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""

STORAGE_BLOCKED = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, {get() { throw new DOMException("The operation is insecure.", "SecurityError"); }});"""
"""As a browser does it that is set to let sites store nothing."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Without the parts that draw a window, where that is installed: it takes half the processor time."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@contextmanager
def firefox() -> Iterator[Browser]:
    with sync_playwright() as playwright, tempfile.NamedTemporaryFile("w", prefix="firefox-", delete=False) as command:
        command.write(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/firefox.py {shutil.which("firefox-esr")} "$@"\n')
        command.close()
        Path(command.name).chmod(0o700)
        browser = playwright.firefox.launch(
            channel="moz-firefox", executable_path=command.name, firefox_user_prefs={"ui.prefersReducedMotion": 1}
        )
        yield browser
        browser.close()
        Path(command.name).unlink()


BROWSERS = {"chromium": chromium, "firefox": firefox}


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with BROWSERS[getattr(request, "param", "chromium")]() as browser:
        yield browser


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("in_firefox"):
        metafunc.parametrize("browser", BROWSERS, indirect=True)


class Deck:
    """The app in a process of its own, and REST to it."""

    def __init__(self, *options: str, **environment: str) -> None:
        self.program = Program("--state", ":memory:", *options, **environment)
        self.url = self.program.url
        self.rest = httpx.Client(base_url=self.url, timeout=20)

    def start(self, variant: str, **spec: Any) -> dict[str, Any]:
        answer = self.rest.post("/servers", json={"variant": variant, "port": 0, **spec})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def server(self, name: str) -> dict[str, Any]:
        return dict(self.rest.get(f"/servers/{name}").json())

    def end(self) -> None:
        self.rest.close()
        self.program.end()


SLEEPS = '''"""Sleeps where it should await.

As everybody does once: while it sleeps the loop stands still, and nothing else runs on it."""
import asyncio
import time


async def serve(listener, options):
    listener.setblocking(False)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.close()
        time.sleep(0.4)
'''
WITH_IT = "import sys, servers; servers.__path__.append(sys.argv.pop(1)); from app.cli import main; main()"


class DeckThatSleeps(Deck):
    """With one more variant, ``sleeps``."""

    def __init__(self, folder: Path) -> None:
        (folder / "beyond_sleeps.py").write_text(SLEEPS)
        command = (sys.executable, "-c", WITH_IT, str(folder))
        self.program = Program("--state", ":memory:", command=command)
        self.url = self.program.url
        self.rest = httpx.Client(base_url=self.url, timeout=20)


@pytest.fixture(scope="module")
def one_deck() -> Iterator[Deck]:
    made = Deck()
    yield made
    made.end()


@pytest.fixture
def deck(one_deck: Deck) -> Iterator[Deck]:
    """One app for all tests of a file, with no server and no exception at first."""
    assert one_deck.program.process.poll() is None, f"the app has ended before: {one_deck.program.ended()}"
    yield one_deck
    assert one_deck.program.process.poll() is None, f"the app has ended: {one_deck.program.ended()}"
    for server in one_deck.rest.get("/servers").json()["items"]:
        one_deck.rest.delete(f"/servers/{server['name']}")
    one_deck.rest.delete("/exceptions")


@pytest.fixture
def complaints() -> list[str]:
    """Errors of the browser; a test that expects one removes it."""
    return []


def open_context(browser: Browser, deck: Deck, complaints: list[str], **options: Any) -> BrowserContext:
    context = browser.new_context(base_url=deck.url, **{"locale": "en-US", "reduced_motion": "reduce"} | options)
    context.add_init_script(LOG_VIOLATIONS)
    ours = urlsplit(deck.url).netloc

    def sent(request: Any) -> None:
        place = urlsplit(request.url)
        if place.scheme not in {"data", "blob"} and place.netloc != ours:
            complaints.append(f"foreign: {request.url}")

    context.on("request", sent)
    context.on(
        "console",
        lambda message: (
            complaints.append(f"{message.text} {message.location['url']}")
            if message.type in {"error", "warning"}
            else None
        ),
    )
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    return context


def page_of(browser: Browser, running: Program, server: str) -> Page:
    """A page of an app that the test starts and ends itself, with one server; the test closes its context."""
    page = browser.new_context(base_url=running.url, locale="en-US").new_page()
    made = page.request.post("/servers", data={"variant": "asyncio", "port": 0, "name": server})
    assert made.status == 201, made.text()
    return page


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, deck: Deck, complaints: list[str]) -> Iterator[Page]:
    """In both themes; ``light`` marks tests that need only one."""
    context = open_context(browser, deck, complaints, color_scheme=request.param)
    yield context.new_page()
    context.close()
    assert complaints == []


def eventually(holds: Callable[[], object], what: Callable[[], str]) -> None:
    """For conditions that Playwright's ``expect`` does not have; its ``wait_for_function`` is eval, which the policy forbids."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(what())


light = pytest.mark.parametrize("page", ["light"], indirect=True)
"""For tests that do not depend on the theme."""


def live(page: Page, path: str = "/") -> Page:
    """Go there, and wait until the page receives the feed."""
    page.goto(path)
    expect(page.locator("#live")).to_have_attribute("data-status", "live")
    return page


def refused(complaints: list[str], most: int) -> None:
    """Remove the expected errors: the browser logs each refused call."""
    expected = [one for one in complaints if re.search(r"status of 4\d\d", one)]
    assert 0 < len(expected) <= most
    for one in expected:
        complaints.remove(one)


def forgive(complaints: list[str]) -> None:
    """The page may have asked for something of a server just before it was told that there is none."""
    complaints[:] = [one for one in complaints if "status of 404" not in one]


def serious(page: Page) -> list[str]:
    """The serious problems that axe-core finds on the present page."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']} {json.dumps([node['target'] for node in one['nodes'][:3]])}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def connect(port: int, data: bytes = b"") -> socket.socket:
    """A TCP client beside the browser."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(data)
    return client
