"""The pages in a real Chromium: they work, complain of nothing, and load nothing from elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import Program

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def deck() -> Iterator[str]:
    program = Program("--state", ":memory:")
    yield program.url
    program.end()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, deck: str) -> Iterator[Page]:
    """A page of the app; a complaint on its console, a failed or a foreign request fails the test."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(base_url=deck, color_scheme=request.param)
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda failed: complaints.append(f"failed: {failed.url}"))
        page.on(
            "request",
            lambda sent: (
                urlsplit(sent.url).scheme in {"data", "blob"}
                or urlsplit(sent.url).netloc == urlsplit(deck).netloc
                or complaints.append(f"foreign: {sent.url}")
            ),
        )
        yield page
        browser.close()
    assert complaints == []


def test_a_newcomer_starts_stops_and_removes_a_server(page: Page) -> None:
    page.goto("/")
    page.get_by_role("combobox", name="Variant").select_option("blocking")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Name").fill("first")
    page.get_by_role("button", name="Start", exact=True).click()
    room = page.locator("#first")
    expect(room.locator(".state")).to_contain_text("running")
    expect(room).to_contain_text("0 waiting · 0 inside")
    room.get_by_role("button", name="Stop first").click()
    expect(page.locator("#first .state")).to_contain_text("stopped")
    page.locator("#first").get_by_role("button", name="Start first").click()
    expect(page.locator("#first .state")).to_contain_text("running")
    page.locator("#first").get_by_role("button", name="Remove first").click()
    expect(page.locator("#first")).to_have_count(0)
    expect(page.get_by_text("first was removed")).to_be_visible()


def test_each_variant_has_a_button_of_its_own(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Start selectors").click()
    room = page.locator(".server").first
    expect(room).to_contain_text("selectors-")
    room.get_by_role("button", name="Remove").click()
    expect(page.locator(".server")).to_have_count(0)


def test_the_page_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/")
    page.get_by_role("button", name="Start blocking-single").click()
    expect(page.locator(".server")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_api_document_works_without_the_internet(page: Page) -> None:
    page.goto("/docs")
    operation = page.locator("#operations-servers-list_servers_servers_get")
    operation.click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tr.response .response-col_status").first).to_contain_text("200")
