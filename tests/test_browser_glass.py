"""The glass in a real Chromium: calls as they are made, recordings in slow motion, variants side by side."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import Deck, eventually, forgive, light, live, refused, serious

HOSTILE = b"<img src=x onerror=alert(1)>\x1b[31m\xff\n"


@pytest.fixture(autouse=True)
def nothing_is_kept(deck: Deck) -> Any:
    yield
    for one in deck.rest.get("/recordings").json()["items"]:
        deck.rest.delete(f"/recordings/{one['id']}")


def start(deck: Deck, variant: str) -> dict[str, Any]:
    made = deck.rest.post("/servers", json={"variant": variant, "port": 0})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def record(deck: Deck, variant: str = "blocking") -> str:
    answer = deck.rest.post(
        "/comparisons", json={"script": "three-clients-one-silent", "variants": [variant]}, timeout=60
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@light
def test_calls_are_seen_as_they_are_made(page: Page, deck: Deck, complaints: list[str]) -> None:
    server = start(deck, "blocking")
    live(page, f"/ui/servers/{server['name']}")
    page.get_by_role("button", name="Look at its calls").click()
    picture = page.locator("#calls .calls-picture")
    expect(picture.locator(".does.blocked")).to_have_count(1)
    expect(picture).to_contain_text("accept")
    with socket.create_connection((server["host"], server["port"])) as client:
        expect(page.locator(".live-list li").first).to_contain_text("recv(65536)")
        client.sendall(HOSTILE)
        row = page.locator(".live-list li", has_text="onerror")
        expect(row).to_contain_text(r'"<img src=x onerror=alert(1)>\x1b[31')
        expect(row.get_by_role("link", name=re.compile("line"))).to_have_attribute("href", re.compile("#L[0-9]+"))
        expect(page.locator("#calls img")).to_have_count(0)
        with socket.create_connection((server["host"], server["port"])):
            expect(picture).to_contain_text("queue 1")
    assert serious(page) == []
    deck.rest.delete(f"/servers/{server['name']}")
    expect(page.locator("#server")).to_contain_text("removed")
    forgive(complaints)


@light
def test_a_storm_is_folded_and_said_to_be(page: Page, deck: Deck) -> None:
    server = start(deck, "nonblocking")
    live(page, f"/ui/servers/{server['name']}")
    page.get_by_role("button", name="Look at its calls").click()
    expect(page.locator("#calls .folds")).to_contain_text("the counts are exact")
    expect(page.locator("#calls .does.storm").first).to_be_attached()
    expect(page.locator("#calls .calls-picture")).to_contain_text("running, finding nothing")
    page.get_by_role("button", name="Stop looking").click()
    expect(page.get_by_role("button", name="Look at its calls")).to_have_attribute("aria-pressed", "false")


@light
def test_a_stop_is_said_and_one_may_look_again(page: Page, deck: Deck) -> None:
    server = start(deck, "asyncio")
    live(page, f"/ui/servers/{server['name']}")
    page.get_by_role("button", name="Look at its calls").click()
    expect(page.locator("#calls .does.sleeping").first).to_be_attached()
    deck.rest.post(f"/servers/{server['name']}/stop")
    expect(page.locator("#calls .says")).to_contain_text("The server has stopped.")
    deck.rest.post(f"/servers/{server['name']}/start")
    page.get_by_role("button", name="Look at its calls").click()
    expect(page.locator("#calls .says")).to_contain_text("The lens is on.")


@light
def test_a_recording_is_made_on_the_page_and_played_by_keyboard(page: Page, deck: Deck) -> None:
    server = start(deck, "asyncio")
    live(page, f"/ui/servers/{server['name']}")
    page.get_by_label("Seconds to record").select_option("2")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#calls .says")).to_contain_text("Recording")
    with socket.create_connection((server["host"], server["port"])) as client:
        client.sendall(b"hello\n")
        client.recv(10)
    page.get_by_role("link", name="Recorded: play it").click()
    expect(page.locator(".pictures.single .calls-picture")).to_be_visible()
    page.locator("[data-do=on]").focus()

    def here() -> int:
        return int(page.locator("li:has(~ li.is-here)").count())

    for step in range(12):
        page.keyboard.press("ArrowDown")
        expect(page.locator("li.is-here")).to_have_count(1)
        eventually(lambda step=step: here() == step, lambda: f"still at {here()}")
    expect(page.locator(".source-beside .is-here")).to_have_count(1)
    before = page.locator("output.at").inner_text()
    page.locator(".picture-window").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator("output.at")).not_to_have_text(before)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert serious(page) == []


@light
def test_side_by_side_the_picture_says_what_each_waits_for(page: Page, deck: Deck) -> None:
    live(page, "/ui/glass")
    expect(page.get_by_label("Script")).to_have_value(re.compile("silent"))
    for name in ("nonblocking", "asyncio"):
        page.get_by_label(name, exact=True).uncheck()
    page.get_by_role("button", name="Play it").click()
    expect(page).to_have_url(re.compile(r"/ui/comparisons/\d+$"))
    expect(page.locator(".pictures figure")).to_have_count(2)
    blocking, selectors = page.locator(".pictures figure").all()
    expect(blocking.locator(".calls-picture")).to_contain_text("blocked")
    expect(blocking.locator(".calls-picture")).to_contain_text("queue 2")
    expect(blocking.locator(".calls-picture")).to_contain_text("waits")
    expect(selectors.locator(".calls-picture")).to_contain_text("asleep")
    expect(selectors.locator(".calls-picture")).not_to_contain_text("queue")
    blocking.get_by_text("The same as a list").click()
    expect(blocking.locator("li").first).to_contain_text("accept()")
    # One time axis, one scroll.
    scrolled = page.evaluate(
        """async () => {
          const [one, other] = document.querySelectorAll(".picture-window");
          one.scrollTop = 60;
          await new Promise((done) => setTimeout(done, 300));
          return [one.scrollTop, other.scrollTop];
        }"""
    )
    assert scrolled[0] == scrolled[1]
    assert serious(page) == []


@light
def test_a_mistake_in_a_script_is_pointed_at(page: Page, complaints: list[str]) -> None:
    live(page, "/ui/glass")
    script = page.get_by_label("Script")
    script.fill('title = "x"\n[[client]]\ndoes = ["connect", "sing"]\n')
    page.get_by_role("button", name="Play it").click()
    expect(page.locator("#compare .says")).to_contain_text("line 3: 'sing' is nothing that a client does")
    assert page.evaluate("document.activeElement.selectionStart") == len('title = "x"\n[[client]]\n')
    expect(script).to_have_value(re.compile("sing"))
    refused(complaints, 1)


@light
def test_two_thousand_events_are_all_painted(page: Page, deck: Deck) -> None:
    id = record(deck)
    page.goto(f"{deck.url}/ui/recordings/{id}")
    expect(page.locator(".calls-picture")).to_be_visible()
    painted = page.evaluate(
        """async () => {
          const picture = await import(new URL("/static/glass/picture.js", location.href).href);
          const {modelOf} = await import(new URL("/static/glass/model.js", location.href).href);
          const recording = await (await fetch(`/recordings/${location.pathname.split("/").pop()}`)).json();
          const [id] = Object.keys(recording.connections);
          const call = recording.calls.find((one) => one.call === "recv");
          recording.calls = Array.from({length: 2000}, (_one, n) => ({...call, n: n + 1, on: id, at: n * 0.005, took: n % 2 ? 0.002 : 0.00001, result: 6, errno: null}));
          recording.seconds = 10;
          recording.clients = null;
          recording.zero = 0;
          const model = modelOf(recording);
          const place = document.querySelector(".drawn");
          place.innerHTML = picture.drawn(model, {scale: 120, id: "x", label: "x"}, (text) => text);
          return place.querySelectorAll("rect.does, path.went").length;
        }"""
    )
    assert painted > 2000


def test_a_file_to_hand_out_plays_by_itself(browser: Browser, deck: Deck, tmp_path: Path) -> None:
    sheet = tmp_path / "lesson.html"
    sheet.write_text(deck.rest.get(f"/comparisons/{record(deck)}", params={"format": "html"}).text)
    context = browser.new_context(offline=True)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(sheet.as_uri())
    expect(page.locator(".calls-picture")).to_contain_text("blocked")
    before = page.locator("output.at").inner_text()
    page.get_by_role("button", name="One call on").click()
    expect(page.locator("output.at")).not_to_have_text(before)
    expect(page.locator(".says")).to_contain_text("recv(65536)")
    assert wrong == []
    context.close()


@light
def test_without_scripts_one_can_compare_and_read(page: Page, deck: Deck) -> None:
    assert page.context.browser
    context = page.context.browser.new_context(java_script_enabled=False)
    try:
        bare = context.new_page()
        bare.goto(f"{deck.url}/ui/glass")
        for name in ("nonblocking", "asyncio", "selectors"):
            bare.get_by_label(name, exact=True).uncheck()
        bare.get_by_role("button", name="Play it").click(timeout=60_000)
        bare.wait_for_url(re.compile(r"/ui/comparisons/\d+$"), timeout=60_000)
        expect(bare.locator("noscript ol li, ol li").first).to_contain_text("accept")
    finally:
        context.close()


def luminance(colour: str) -> float:
    """Of a computed colour (WCAG 2.2, relative luminance)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_picture_can_be_read_in_the_systems_colours(page: Page, deck: Deck) -> None:
    id = record(deck)
    page.emulate_media(forced_colors="active")
    live(page, f"/ui/comparisons/{id}")
    ground = page.locator(".picture-window").first.evaluate("(one) => getComputedStyle(one).backgroundColor")
    for words in (".lane-name", ".blocked-words", ".went-words"):
        fill = page.locator(f".calls-picture {words}").first.evaluate("(one) => getComputedStyle(one).fill")
        darker, lighter = sorted((luminance(ground), luminance(fill)))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (words, fill, ground)
    assert (
        page.locator(".calls-picture").first.evaluate("(one) => getComputedStyle(one).backgroundColor")
        == "rgba(0, 0, 0, 0)"
    )
