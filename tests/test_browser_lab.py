"""The lab's pages in a real Chromium: guess, watch it fill, read it; and without scripts."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import Deck, light, live, open_context, refused, serious

SHORT: dict[str, Any] = {"seconds": 0.3, "warm_up": 0.05, "rounds": 2, "clients": [1, 5], "size": 64}


def measure(deck: Deck, **fields: Any) -> str:
    answer = deck.rest.post("/lab/experiments", json={**SHORT, "variants": ["asyncio", "selectors"], **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def done(deck: Deck, id: str) -> str:
    """Asked seldom: who asks without end is the noise for which trials are repeated."""
    deadline = time.monotonic() + 240
    while deck.rest.get(f"/lab/experiments/{id}").json()["state"] != "done":
        assert time.monotonic() < deadline, "it is not done"
        time.sleep(0.2)
    return id


@pytest.fixture(scope="module")
def results(one_deck: Deck) -> tuple[str, str]:
    """Two experiments that are done, one after the other."""
    first = done(one_deck, measure(one_deck))
    return first, done(one_deck, measure(one_deck))


@pytest.fixture(autouse=True)
def nothing_is_measured(deck: Deck, results: tuple[str, str]) -> Any:
    yield
    for one in deck.rest.get("/lab/experiments").json()["items"]:
        if one["id"] in results:
            continue
        for _ in range(2):  # cancelled, then forgotten
            deck.rest.delete(f"/lab/experiments/{one['id']}")


@light
def test_a_newcomer_guesses_measures_and_reads(page: Page, deck: Deck) -> None:
    live(page)
    page.get_by_role("link", name="Lab").click()
    page.get_by_role("link", name="Polling burns").click()
    expect(page.get_by_role("heading", name="Polling burns")).to_be_visible()
    page.get_by_label("a whole processor").check()
    page.get_by_role("button", name="Measure").click()
    expect(page).to_have_url(re.compile(r"/ui/lab/experiments/\d+\?guess=2$"))
    expect(page.get_by_text("Your guess:")).to_contain_text("a whole processor")
    expect(page.locator("#progress progress")).to_be_visible()
    # Without reloading, the first trials appear.
    expect(page.locator("#plot-server_share svg .line, #plot-server_share svg .bar").first).to_be_attached(
        timeout=20_000
    )
    expect(page.locator("#figures tbody tr").first).to_contain_text("nonblocking")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#progress")).to_contain_text("cancelled")
    assert serious(page) == []


@light
def test_a_plot_is_read_as_words_too(page: Page, results: tuple[str, str]) -> None:
    live(page, f"/ui/lab/experiments/{results[0]}")
    drawing = page.locator("#plot-msgs_per_s svg")
    expect(drawing).to_have_attribute("aria-label", re.compile("Messages a second. asyncio, selectors"))
    expect(drawing.locator("text.word")).to_have_count(2)
    rows = page.locator("#figures tbody tr")
    expect(rows).to_have_count(4)
    expect(page.locator("#method")).to_contain_text("median of the rounds")
    expect(page.locator("#method")).to_contain_text("CPython")
    assert serious(page) == []


def test_both_themes_and_a_phone_show_all_of_it(page: Page, results: tuple[str, str]) -> None:
    page.set_viewport_size({"width": 375, "height": 700})
    for path in ("/ui/lab", "/ui/lab/the-knee", f"/ui/lab/experiments/{results[0]}"):
        live(page, path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert serious(page) == []


@light
def test_ones_own_question_is_asked_with_a_form(page: Page, complaints: list[str]) -> None:
    live(page, "/ui/lab")
    page.get_by_label("threads").check()
    page.get_by_label("Clients", exact=True).fill("2, many")
    page.get_by_role("button", name="Measure").click()
    expect(page.get_by_role("alert")).to_contain_text("'many' is no number")
    refused(complaints, 1)
    page.get_by_label("Clients", exact=True).fill("2, 4")
    page.get_by_label("Seconds each").fill("0.3")
    page.get_by_label("Rounds").fill("1")
    page.get_by_label("The question, in your words").fill("<b>which?</b>")
    page.get_by_label("threads").check()
    page.get_by_role("button", name="Measure").click()
    expect(page.locator(".asks")).to_have_text("<b>which?</b>")
    expect(page.locator("#figures tbody tr")).to_have_count(4)


@light
def test_two_results_beside_each_other(page: Page, results: tuple[str, str]) -> None:
    first, second = results
    live(page, f"/ui/lab/experiments/{second}")
    page.get_by_label("Compare with an earlier one").select_option(first)
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#beside h2")).to_have_text(f"Against experiment {first}")
    assert page.locator("#beside tbody tr").count() >= 8


@light
def test_a_result_is_taken_home(
    page: Page, browser: Browser, deck: Deck, tmp_path: Any, results: tuple[str, str]
) -> None:
    live(page, f"/ui/lab/experiments/{results[0]}")
    for kind in ("HTML", "SVG", "CSV", "JSON"):
        address = page.get_by_role("link", name=kind, exact=True).get_attribute("href")
        assert address
        answer = deck.rest.get(address)
        assert answer.status_code == 200
        (tmp_path / f"it.{kind.lower()}").write_bytes(answer.content)
    context = browser.new_context()
    alone = context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(f"file://{tmp_path}/it.html")
    expect(alone.locator("svg")).to_have_count(6)
    assert len(asked) == 1  # nothing else is loaded
    assert len(alone.pdf()) > 10_000
    alone.goto(f"file://{tmp_path}/it.svg")
    expect(alone.locator("text.title")).to_be_attached()
    context.close()


def test_it_is_useful_without_scripts(browser: Browser, deck: Deck, complaints: list[str]) -> None:
    context = open_context(browser, deck, complaints, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/lab")
    page.get_by_label("selectors").check()
    page.get_by_label("Seconds each").fill("0.3")
    page.get_by_label("Rounds").fill("1")
    page.get_by_role("button", name="Measure").click()
    id = page.url.rpartition("/")[2]
    done(deck, id)
    page.reload()
    expect(page.locator("#progress")).to_contain_text("done")
    expect(page.locator("#figures tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator(f'#runs a[href$="/{id}"]')).to_have_count(0)
    context.close()
    assert complaints == []
