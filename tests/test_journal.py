"""The journal, and that whatever is shown is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.history import store
from app.program.app import create_app
from app.settings import Settings
from app.supervising.lifecycle import State
from tests.conftest import Start
from tests.helpers import Client, until
from tests.test_exceptions import say


async def test_the_journal_tells_what_happened_the_newest_first(api: httpx.AsyncClient, begin: Start) -> None:
    server = await begin("accept-once", restart="never")
    async with await Client.to(server.spec.port) as client:
        port = client.socket.getsockname()[1]
        await client.rest()
    await until(lambda: server.state is State.EXITED, "it has served its client")
    items = (await api.get("/journal", params={"server": server.name})).json()["items"]
    told = [entry["what"] for entry in reversed(items)]
    assert told[:2] == ["was created", f"listens on 127.0.0.1:{server.spec.port}"]
    assert str(port) in told[2]  # the client's address is an event
    assert told[3] == "came to its end"
    after = (await api.get("/journal", params={"limit": 1})).json()["next"]
    assert (await api.get("/journal", params={"limit": 1, "after": after})).json()["items"] == [items[1]]


@pytest.mark.parametrize("path", ["/exceptions", "/exceptions/1", "/journal", "/servers", "/servers/one", "/"])
async def test_what_is_shown_is_in_the_file_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(store, "GATHER_SECONDS", 5.0)  # unless somebody waits for it
    made = create_app(Settings(state=str(tmp_path / "state")))
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost:8000") as api,
    ):
        server = (await api.post("/servers", json={"variant": "asyncio", "port": 0, "name": "one"})).json()
        await say(server["port"], b"boom\n")
        await until(lambda: made.state.supervisor.server("one").exceptions == 1, "it failed")
        assert (await api.get(path)).status_code == 200
        with closing(sqlite3.connect(tmp_path / "state")) as other:
            assert other.execute("SELECT message FROM exceptions").fetchall() == [("boom",)]
