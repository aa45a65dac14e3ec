"""What the page costs its reader: the first paint, and the share of its main thread, in a real Chromium."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import httpx
from rich.console import Console
from rich.progress import track

from tests.browsing import chromium

SERVERS = 1000
BUSY = 500
SECONDS = 10.0
ROUNDS = 7
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
console = Console()


def first_paint(api: httpx.Client, pid: int) -> None:
    for _ in track(range(SERVERS), "servers", console=console, transient=True):
        api.post("/servers", json={"variant": "asyncio", "port": 0}).raise_for_status()
    times = []
    with chromium() as browser:
        for _ in range(ROUNDS + 1):  # the first one starts the renderer
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(str(api.base_url))
            while not (painted := page.evaluate(PAINT)):
                page.wait_for_timeout(50)
            times.append(painted)
            page.close()
    median, worst = statistics.median(times[1:]), max(times[1:])
    console.print(
        f"first paint with {SERVERS:,} servers: {median:.0f} ms (worst of {ROUNDS}: {worst:.0f} ms; limit 500)"
    )


def main_thread(api: httpx.Client, pid: int) -> None:
    server = api.post("/servers", json={"variant": "asyncio", "port": 0}).json()
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.chatter", str(server["port"]), str(BUSY), str(SECONDS * 2 + 25)]
    )
    with chromium() as browser:
        for name, path in (("dashboard", "/"), ("server's page", f"/ui/servers/{server['name']}")):
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.goto(f"{str(api.base_url).rstrip('/')}{path}")
            page.wait_for_timeout(3000)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")

            def busy() -> float:
                metrics = session.send("Performance.getMetrics")["metrics"]  # noqa: B023
                return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

            before, began = busy(), time.perf_counter()
            page.wait_for_timeout(SECONDS * 1000)
            share = (busy() - before) / (time.perf_counter() - began)
            console.print(f"main thread of the {name} while {BUSY} connections change: {share:.1%} (limit 10 %)")
            page.close()
    load.terminate()
    load.wait()
