"""Files among the variants that are none: the rest works, and the page says what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from tests.browsing import SLEEPS, WITH_IT
from tests.helpers import Client, first, until
from tests.programs import Start, make, states

BROKEN = {
    "a mistake of syntax": ("def serve(listener, options:\n", "SyntaxError"),
    "an exception": ('"""A.\n\nB."""\nraise RuntimeError("not today <b>")\n', "RuntimeError: not today &lt;b&gt;"),
    "an exit": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "a missing module": ("import nowhere_at_all\n", "ModuleNotFoundError: No module named"),
    "no lesson": ("def serve(listener, options): ...\n", "TypeError: servers/beyond_broken.py needs a serve"),
    "no text": ("\0\udcff".encode("utf-8", "surrogateescape"), "SyntaxError"),
}


def with_file(folder: Path, content: str | bytes, name: str = "beyond_broken.py") -> tuple[str, ...]:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return (sys.executable, "-c", WITH_IT, str(folder))


@pytest.mark.parametrize("what", first(2, BROKEN))
async def test_the_other_variants_run_and_the_page_says_so(program: Start, tmp_path: Path, what: str) -> None:
    content, reason = BROKEN[what]
    running = program(command=with_file(tmp_path, content))
    page = httpx.get(running.url, headers={"accept": "text/html"}).text
    assert "servers/beyond_broken.py</b> cannot be used" in page
    assert reason in page
    names = [one["name"] for one in httpx.get(f"{running.url}/variants").json()["items"]]
    assert len(names) == 10
    assert "broken" not in names
    made = make(running, "asyncio")
    async with await Client.to(int(str(made["port"]))) as client:
        await client.ask(b"x", b"x")
    refused = httpx.post(f"{running.url}/servers", json={"variant": "broken", "port": 0})
    assert (refused.status_code, refused.json()["field"]) == (422, "variant")
    assert "servers/beyond_broken.py cannot be used" in running.end()


async def test_a_server_whose_variant_is_broken_is_back_once_it_is_mended(program: Start, tmp_path: Path) -> None:
    state, folder = str(tmp_path / "state"), tmp_path / "more"
    folder.mkdir()
    good = SLEEPS.replace("time.sleep(0.4)", "pass")
    first = program("--state", state, command=with_file(folder, good, "beyond_mine.py"))
    made = make(first, "mine", name="mine")
    first.process.kill()
    first.wait()
    second = program("--state", state, command=with_file(folder, "oops(", "beyond_mine.py"))
    assert states(second) == {}
    make(second, "asyncio", name="other")
    second.process.kill()
    second.wait()
    third = program("--state", state, command=with_file(folder, good, "beyond_mine.py"))
    assert states(third) == {"mine": "running", "other": "running"}
    assert make(third, "mine", name="another")["variant"] == made["variant"]


async def test_one_that_blocks_the_loop_is_named(program: Start, tmp_path: Path) -> None:
    running = program(command=with_file(tmp_path, SLEEPS, "beyond_sleeps.py"))
    sleeps, other = make(running, "sleeps", name="sleepy"), make(running, "asyncio")
    for _ in range(3):
        async with await Client.to(int(str(sleeps["port"]))) as client:
            await client.rest()
    async with await Client.to(int(str(other["port"]))) as client:
        await client.ask(b"x", b"x")
    await until(lambda: httpx.get(f"{running.url}/loop").json()["stalls"], "the stall is seen")
    page = httpx.get(f"{running.url}/ui/loop", headers={"accept": "text/html"}).text
    assert "sleepy" in page
    assert "time.sleep(0.4)" in page
