"""The picture of calls can be read: with one client and with many, on a narrow screen and on a wide one."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.glass.sheet import as_html
from app.recordings.recording import Recording
from app.web.words import words
from tests.browsing import Deck, eventually, light, live
from tests.helpers import first
from tests.recorded import made_up

LEGIBLE = (Path(__file__).parent / "legible.js").read_text()
WIDTHS = (390, 800, 1024, 1400)


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    """A page without the app: recordings as a file are played by the same scripts."""
    context = browser.new_context(offline=True, locale="en-US", reduced_motion="reduce")
    yield context.new_page()
    context.close()


def play(page: Page, folder: Path, *recordings: Recording, language: str = "en") -> None:
    file = folder / "sheet.html"
    file.write_text(as_html(list(recordings), words(language)))
    page.goto(file.as_uri())
    expect(page.locator(".calls-picture")).to_have_count(len(recordings))


def widen(page: Page, width: int) -> None:
    """The pictures fit their places a frame after the window has got its width."""
    page.set_viewport_size({"width": width, "height": 900})
    eventually(lambda: page.evaluate("innerWidth") == width, lambda: f"the window is not {width} pixels wide")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


@pytest.mark.in_firefox
@pytest.mark.parametrize(
    ("clients", "named"), first(3, [(1, False), (5, True), (12, False), (1, True), (5, False), (12, True)])
)
def test_no_label_of_a_recording_lies_on_another_or_on_a_line(
    blank: Page, tmp_path: Path, clients: int, named: bool
) -> None:
    play(blank, tmp_path, made_up(clients, named=named))
    for width in WIDTHS:
        widen(blank, width)
        assert blank.locator(".calls-picture .went-words").count() > 5
        assert blank.evaluate(LEGIBLE) == [], width
        assert blank.evaluate("document.documentElement.scrollWidth") <= width
        pane, wide = blank.evaluate(
            """[document.querySelector(".picture-window").clientWidth, document.querySelector(".calls-picture").width.baseVal.value]"""
        )
        assert wide >= pane - 1, "it does not use the width that there is"
        assert wide <= pane or (clients, width) == (12, 390)


def test_marks_of_the_time_axis_are_whole_however_near(blank: Page, tmp_path: Path) -> None:
    play(blank, tmp_path, made_up(5, named=True))
    widen(blank, 800)
    for _ in range(8):
        blank.get_by_role("button", name="Larger").click()
        assert blank.evaluate(LEGIBLE) == []
    expect(blank.locator(".calls-picture text", has_text=re.compile(r"^-\d+(\.\d+)? ms$")).first).to_be_attached()


@pytest.mark.parametrize("clients", first(1, [5, 1, 12]))
def test_four_side_by_side_fit_in_two_rows(blank: Page, tmp_path: Path, clients: int) -> None:
    variants = {"blocking": 1, "threads": 5, "selectors": 1, "asyncio": 0}
    recordings = [
        made_up(clients, name, place, threads=threads) for place, (name, threads) in enumerate(variants.items())
    ]
    play(blank, tmp_path, *recordings)
    for width in WIDTHS:
        widen(blank, width)
        assert blank.evaluate(LEGIBLE) == [], width
        boxes = [figure.bounding_box() for figure in blank.locator(".pictures figure").all()]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes), width
        if width == 1400:
            assert len({box["y"] for box in boxes if box}) <= 2


def test_all_of_a_comparison_have_one_time_axis(blank: Page, tmp_path: Path) -> None:
    play(blank, tmp_path, *(made_up(2, name, named=True, zero=zero) for name, zero in {"a": 0.06, "b": 0.3}.items()))
    widen(blank, 1400)
    tops = [one.bounding_box() for one in blank.locator(".calls-picture text", has_text=re.compile(r"^0\.0 s$")).all()]
    assert len(tops) == 2
    assert len({box["y"] for box in tops if box}) == 1


def test_chinese_labels_have_room(blank: Page, tmp_path: Path) -> None:
    play(blank, tmp_path, made_up(5, named=True), made_up(5, "blocking", 2, threads=1), language="zh")
    for width in WIDTHS:
        widen(blank, width)
        assert blank.evaluate(LEGIBLE) == [], width


def test_past_twelve_the_busiest_have_lanes_and_the_others_one(blank: Page, tmp_path: Path) -> None:
    play(blank, tmp_path, made_up(20))
    widen(blank, 1400)
    names = blank.locator(".calls-picture .lane-name").all_text_contents()
    assert len(names) == 12 + 1 + 2  # clients, the others, kernel and server
    assert "+ 8" in names
    assert blank.evaluate(LEGIBLE) == []


def test_a_label_that_is_cut_is_whole_in_the_list(blank: Page, tmp_path: Path) -> None:
    play(blank, tmp_path, made_up(12, named=True))
    widen(blank, 1400)
    cut = blank.locator(".calls-picture .lane-name[data-whole]").first
    whole = cut.get_attribute("data-whole")
    assert whole
    expect(cut.locator("title")).to_have_text(whole)
    expect(blank.locator(".as-list .on", has_text=whole).first).to_be_attached()
    blank.locator(".picture-window").focus()
    while whole not in blank.locator(".says").inner_text():
        blank.keyboard.press("ArrowDown")


@light
def test_the_live_picture_of_five_busy_clients_can_be_read(page: Page, deck: Deck) -> None:
    server = deck.start("asyncio")
    clients = [socket.create_connection((server["host"], server["port"]), timeout=20) for _ in range(5)]
    try:
        live(page, f"/ui/servers/{server['name']}")
        page.get_by_role("button", name="Look at its calls").click()
        for width in (390, 800, 1400):
            widen(page, width)
            for place, client in enumerate(clients):
                client.sendall(f"{width} from {place}\n".encode())
            expect(page.locator(".live-list")).to_contain_text(f"{width} from 4")
            assert page.locator("#calls .calls-picture .went-words").count() > 0
            assert page.evaluate(LEGIBLE) == [], width
        label = page.locator("#calls .calls-picture [data-whole]").first
        page.locator("#calls .picture-window").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#calls .says")).to_have_text(label.get_attribute("data-whole") or "")
    finally:
        for client in clients:
            client.close()
