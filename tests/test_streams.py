"""Server-Sent Events over HTTP, to readers who may be slow, gone, or too many."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.program import uvicorn_protocols
from app.program.uvicorn_protocols import BoundedHttp
from app.settings import Settings
from app.supervising.supervisor import Supervisor
from app.web import streams
from tests.conftest import Start
from tests.helpers import PATIENCE, until


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """The app behind a real socket; yields its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = uvicorn.Config(app, http=BoundedHttp, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([sock]))
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def read_events(lines: AsyncIterator[str], count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE):
        async for line in lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                found.append(fields)
                fields = {}
                if len(found) == count:
                    break
            else:
                fields = {}
    return found


async def test_the_stream_is_server_sent_events_and_goes_on_where_it_was(app: FastAPI, begin: Start) -> None:
    async with served(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        async with http.stream("GET", "/events") as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["cache-control"] == "no-store"
            (snapshot,) = await read_events(stream.aiter_lines(), 1)
            assert (snapshot["event"], json.loads(snapshot["data"])["servers"]) == ("snapshot", [])
        server = await begin("asyncio")
        for query, headers in (("", {"last-event-id": snapshot["id"]}), (f"?heard={snapshot['id']}", {})):
            async with http.stream("GET", f"/events{query}", headers=headers) as stream:
                events = await read_events(stream.aiter_lines(), 3)
                assert "snapshot" not in {event["event"] for event in events}
                assert server.name in {json.loads(event["data"]).get("name") for event in events}
        async with http.stream("GET", "/events?topics=servers") as stream:
            (snapshot,) = await read_events(stream.aiter_lines(), 1)
            assert list(json.loads(snapshot["data"])) == ["servers"]
        head = await http.head("/events")
        assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    await until(lambda: app.state.streams.open == 0 and app.state.feed.followers == 0, "all are let go")


@pytest.mark.parametrize(
    ("query", "status"), [("topics=servers,weather", 422), ("topics=", 422), ("server=nobody", 404)]
)
async def test_what_cannot_be_followed_is_refused(api: httpx.AsyncClient, query: str, status: int) -> None:
    assert (await api.get(f"/events?{query}")).status_code == status


@pytest.mark.parametrize("settings", [Settings(state=":memory:", streams=2)])
async def test_no_more_streams_than_the_setting_allows(app: FastAPI, settings: Settings) -> None:
    async with (
        served(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        http.stream("GET", "/events") as one,
    ):
        first = one.aiter_lines()  # held: without it, the stream is closed
        await read_events(first, 1)
        async with http.stream("GET", "/events") as two:
            second = two.aiter_lines()
            await read_events(second, 1)
            refused = await http.get("/events")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-streams")
            assert refused.json()["limit"] == 2
        await until(lambda: app.state.streams.open == 1, "the second is let go")
        async with http.stream("GET", "/events") as again:
            assert again.status_code == 200


async def test_a_reader_who_takes_nothing_is_dropped_and_told_why(
    app: FastAPI, begin: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "SECONDS_TO_TAKE", 0.2)
    monkeypatch.setattr(uvicorn_protocols, "SECONDS_FOR_LAST_CHUNK", 1.0)
    for number in range(100):
        app.state.supervisor.chronicle.note("somebody", "x" * 900 + str(number))
    async with served(app) as port:
        for reads_on in (True, False):
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(slow, ("127.0.0.1", port))
                await loop.sock_sendall(slow, b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                dropped = app.state.streams.dropped
                until_full = asyncio.create_task(chatter(app.state.supervisor))
                await until(lambda: app.state.streams.dropped == dropped + 1, "he is dropped")  # noqa: B023
                until_full.cancel()
                await until(lambda: app.state.streams.open == 0, "nothing is kept for him")
                if reads_on:
                    received = b""
                    async with asyncio.timeout(PATIENCE):
                        while data := await loop.sock_recv(slow, 65536):
                            received += data
                    assert b'event: dropped\ndata: {"reason":"nothing was taken for 0.2 s"}\n\n' in received
                    assert received.endswith(b"\r\n0\r\n\r\n")
                else:
                    await until(lambda: not [t for t in asyncio.all_tasks() if "run_asgi" in str(t)], "it is over")
    assert "dropped a reader of /events" in caplog.text


async def chatter(supervisor: Supervisor) -> None:
    while True:
        for number in range(100):
            supervisor.chronicle.note("somebody", "x" * 900 + str(number))
        await asyncio.sleep(0.05)
