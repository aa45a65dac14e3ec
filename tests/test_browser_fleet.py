"""The page of a fleet, in a real Chromium: a takeover can be watched, and what was open comes back."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser_terminals import opened, screen, send, status
from tests.browsing import live, open_context
from tests.engines import until
from tests.fleets import Fleet
from tests.test_painting import alike


def seen(browser: Browser, made: Fleet, complaints: list[str], **options: Any) -> Page:
    deck: Any = SimpleNamespace(url=made[1].url)
    return open_context(browser, deck, complaints, **options).new_page()


def test_a_takeover_is_seen_and_a_terminal_comes_back(three: Fleet, browser: Browser, complaints: list[str]) -> None:
    moved = next(name for name in map("s{}".format, range(30)) if three[1].make(name)["node"] == "n3")
    page = live(seen(browser, three, complaints))
    expect(page.locator("#nodes .node")).to_have_count(3)
    expect(page.locator(f"#server-{moved} .node-name")).to_have_text("@ n3")
    terminal = opened(page, moved)
    expect(status(terminal)).to_contain_text("inside")
    send(terminal, "before")
    expect(screen(terminal)).to_contain_text("before")
    assert complaints == []
    three[3].kill()
    expect(page.locator("#node-n3")).to_have_class("node is-lost")
    expect(page.locator(f"#server-{moved} .node-name")).to_have_text(_other_than_n3())
    expect(page.locator(f"#server-{moved}")).to_have_class("room is-running")
    expect(status(terminal)).to_contain_text("inside")
    send(terminal, "after")
    expect(screen(terminal)).to_contain_text("after")
    page.context.close()


def _other_than_n3() -> Any:
    import re

    return re.compile("@ n[12]")


def test_a_node_is_drained_by_its_button(three: Fleet, browser: Browser, complaints: list[str]) -> None:
    for name in ("one", "two", "three"):
        three[1].make(name)
    page = live(seen(browser, three, complaints))
    page.get_by_role("button", name="Drain n2").click()
    expect(page.locator("#node-n2")).to_have_class("node is-draining")
    until(lambda: "n2" not in {one["node"] for one in three[1].servers().values()}, "they go elsewhere")
    page.get_by_role("button", name="Resume n2").click()
    expect(page.locator("#node-n2")).to_have_class("node is-ready")
    assert complaints == []
    page.context.close()


def test_etcds_trouble_is_beside_the_nodes(three: Fleet, browser: Browser, complaints: list[str]) -> None:
    (member,) = three.etcd.call("/v3/cluster/member/list")["members"]
    alarm = {"memberID": member["ID"], "alarm": "NOSPACE"}
    page = live(seen(browser, three, complaints))
    expect(page.locator("#etcd")).to_have_class("etcd is-healthy")
    expect(page.locator("#etcd .figures")).to_contain_text("leader m0")
    three.etcd.call("/v3/maintenance/alarm", action="ACTIVATE", **alarm)
    try:
        assert three[1].http.post("/servers", json={"variant": "asyncio", "port": 0}).status_code == 503
        expect(page.locator("#etcd")).to_have_class("etcd is-failing")
        expect(page.locator("#etcd .why")).to_have_text("m0 alarm NOSPACE: the database is full")
        alike(page, "nodes")
    finally:
        three.etcd.call("/v3/maintenance/alarm", action="DEACTIVATE", **alarm)
    expect(page.locator("#etcd")).to_have_class("etcd is-healthy")
    assert [one for one in complaints if "503" not in one] == []
    page.context.close()


def test_what_the_script_paints_is_what_the_template_painted(
    three: Fleet, browser: Browser, complaints: list[str]
) -> None:
    three[1].make("first", on="n1")
    three[1].make("second", on="n2")
    page = live(seen(browser, three, complaints))
    expect(page.locator("#nodes .node")).to_have_count(3)
    alike(page, "nodes", "server-first", "server-second")
    live(page, "/ui/servers/second")
    expect(page.locator(".node-name")).to_have_text("@ n2")
    alike(page, "now-state", "tally")
    assert complaints == []
    page.context.close()


def test_it_is_useful_without_scripts(three: Fleet, browser: Browser, complaints: list[str]) -> None:
    page = seen(browser, three, complaints, java_script_enabled=False)
    page.goto("/")
    page.get_by_text("More settings").click()
    page.get_by_label("Name").fill("mine")
    page.get_by_label("On node").fill("n3")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#server-mine .node-name")).to_have_text("@ n3")
    page.get_by_role("button", name="Stop mine").click()
    expect(page.locator("#server-mine")).to_have_class("room is-stopped")
    page.get_by_role("link", name="mine", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("mine")
    page.get_by_role("button", name="Start", exact=True).first.click()
    expect(page.locator(".node-name")).to_have_text("@ n3")
    assert three[2].servers()["mine"]["state"] == "running"
    page.goto("/")
    page.get_by_role("button", name="Drain n2").click()
    expect(page.locator("#node-n2")).to_have_class("node is-draining")
    page.context.close()


def test_exceptions_of_all_nodes_are_on_one_page(three: Fleet, browser: Browser, complaints: list[str]) -> None:
    for number in (1, 2, 3):
        made = three[1].make(f"s{number}", on=f"n{number}")
        with socket.create_connection((made["host"], made["port"])) as client:
            client.sendall(b"boom\n")
            client.recv(1)
    page = seen(browser, three, complaints)
    page.goto("/ui/exceptions")
    expect(page.locator("#caught .catches > li")).to_have_count(3)
    live(page, "/ui/exceptions")
    alike(page, "caught")
    live(page, "/ui/exceptions?server=s2")
    expect(page.locator("#caught .catches > li")).to_have_count(1)
    page.get_by_role("button", name="Clear those of s2").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    until(
        lambda: {one["server"] for one in three[3].http.get("/exceptions").json()["items"]} == {"s1", "s3"}, "cleared"
    )
    assert complaints == []
    page.context.close()
