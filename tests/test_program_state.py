"""What ``echodeck serve`` finds again in its state file, after a clean end and after a kill."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from tests.helpers import Client, refuses, until
from tests.programs import Start, boom, make, run, states


async def test_what_should_run_runs_again_after_a_kill(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "deep" / "state.sqlite3")
    first = program("--state", state)
    runs, rests = make(first, "asyncio", backlog=7), make(first, "blocking")
    gone, once = make(first, "selectors"), make(first, "accept-once")
    httpx.post(f"{first.url}/servers/{rests['name']}/stop")
    httpx.delete(f"{first.url}/servers/{gone['name']}")
    async with await Client.to(int(str(once["port"]))) as client:
        await client.rest()
    await until(lambda: states(first)[str(once["name"])] == "exited", "its only client is served")
    first.process.kill()
    await asyncio.to_thread(first.wait)
    second = program("--state", state)
    assert states(second) == {runs["name"]: "running", rests["name"]: "stopped", once["name"]: "stopped"}
    assert httpx.get(f"{second.url}/servers/{runs['name']}").json()["spec"] == runs["spec"]
    async with await Client.to(int(str(runs["port"]))) as client:
        await client.ask(b"x", b"x")


async def test_an_exception_that_was_shown_is_there_after_a_kill(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    made = make(first, "asyncio")
    await boom(made["port"])
    shown = httpx.get(f"{first.url}/exceptions").json()["items"]
    told = httpx.get(f"{first.url}/journal").json()["items"]
    first.process.kill()
    assert [one["input"] for one in shown] == [r"b'boom\n'"]
    await asyncio.to_thread(first.wait)
    second = program("--state", state)
    assert httpx.get(f"{second.url}/exceptions").json()["items"] == shown
    assert httpx.get(f"{second.url}/journal").json()["items"][-len(told) :] == told
    assert httpx.get(f"{second.url}/servers/{made['name']}").json()["exceptions"] == 1
    async with await Client.to(int(str(made["port"]))) as client:
        await client.ask(b"x", b"x")
        (row,) = httpx.get(f"{second.url}/connections").json()["items"]
    assert row["id"] not in {one["connection"] for one in shown}  # ids of two lives are not mistaken for each other


@pytest.mark.parametrize("lives", [2, pytest.param(6, marks=pytest.mark.slow)])
async def test_nothing_that_was_shown_is_lost_by_a_kill_in_the_midst_of_a_storm(
    program: Start, tmp_path: Path, lives: int
) -> None:
    state, shown = str(tmp_path / "state"), 0
    for _ in range(lives):
        running = program("--state", state)
        if not states(running):
            port = make(running, "asyncio", port=0)["port"]
        async with httpx.AsyncClient(base_url=running.url) as api:
            counts = [one["count"] for one in (await api.get("/exceptions?limit=1000")).json()["items"]]
            assert sum(counts) >= shown
            storm = asyncio.gather(*(boom(port, 60) for _ in range(5)), return_exceptions=True)
            for _ in range(10):
                await asyncio.sleep(0.02)
                shown = sum(one["count"] for one in (await api.get("/exceptions?limit=1000")).json()["items"])
            running.process.kill()
            await storm
        await asyncio.to_thread(running.wait)
    assert shown > 50


async def test_a_clean_end_forgets_nothing_either(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = program("--state", state)
    made = make(first, "asyncio")
    first.signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait) == 0
    assert await refuses(int(str(made["port"])))
    assert states(program("--state", state)) == {made["name"]: "running"}


async def test_two_apps_do_not_share_a_state(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    program("--state", state)
    second = run("serve", "--port", "0", "--state", state)
    assert (second.returncode, "in use by another echodeck" in second.stderr) == (1, True)


async def test_a_damaged_state_is_set_aside(program: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"this is no database, whatever its name says" * 100)
    running = program("--state", str(state))
    assert states(running) == {}
    (aside,) = tmp_path.glob("state.unreadable-*")
    assert aside.read_bytes().startswith(b"this is no database")
    make(running, "asyncio")
    assert "cannot be read" in running.end()
