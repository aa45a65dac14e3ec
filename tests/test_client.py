"""The client library: its objects, its requests, and its reading of the feed."""

from __future__ import annotations

import copy
import json
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import echodeck
from app.shapes.connections import ConnectionShape
from app.shapes.happenings import ExceptionShape
from app.shapes.nodes import NodeShape
from app.shapes.servers import ConnectionCounts, ExitShape, ServerShape, VariantShape

# Objects

SHAPES: dict[type[echodeck.Shape], type[BaseModel]] = {
    echodeck.Connection: ConnectionShape,
    echodeck.Counts: ConnectionCounts,
    echodeck.Exit: ExitShape,
    echodeck.Node: NodeShape,
    echodeck.Raised: ExceptionShape,
    echodeck.Server: ServerShape,
    echodeck.Variant: VariantShape,
}

COUNTS: dict[str, Any] = {"open": 1, "total": 2, "waiting": 0, "peak": 1, "turned_away": 0}
SERVER: dict[str, Any] = {
    "name": "one",
    "variant": "asyncio",
    "host": "::",
    "port": 9000,
    "state": "running",
    "desired": "running",
    "since": "2026-01-02T03:04:05.000600Z",
    "runs_on": "loop",
    "task": None,
    "restarts": 0,
    "connections": COUNTS,
    "bytes_in": 1,
    "bytes_out": 2,
    "exceptions": 0,
    "loop_share": 0,
    "cpu_seconds": 0.5,
    "exit": {"at": "2026-01-02T03:04:05Z", "reason": "stopped", "message": ""},
    "spec": {"backlog": 128},
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_an_object_has_the_fields_of_rest(shape: type[echodeck.Shape]) -> None:
    assert get_type_hints(shape).keys() == SHAPES[shape].model_fields.keys()


def test_json_becomes_an_object_and_the_same_json() -> None:
    server = echodeck.Server.model_validate(SERVER)
    assert (server.connections.open, server.node, server.loop_share) == (1, None, 0.0)
    assert server.since == datetime(2026, 1, 2, 3, 4, 5, 600, UTC)
    assert server.address == ("::1", 9000)
    assert server.exit is not None
    assert server.exit.at.utcoffset() == timedelta()
    assert server.model_dump(mode="json") == SERVER | {"node": None, "on": None, "epoch": None}
    assert server.model_dump()["since"] == server.since
    json.dumps(server.model_dump(mode="json"))


def test_fields_of_a_later_version_are_kept_and_hide_nothing() -> None:
    server = echodeck.Server.model_validate(SERVER | {"colour": "red", "model_dump": 3, "self": 4})
    assert vars(server)["colour"] == "red"
    assert server.model_dump(mode="json")["colour"] == "red"


WRONG = {
    "no object": [],
    "a field that is missing": {name: value for name, value in SERVER.items() if name != "name"},
    "a number for a text": SERVER | {"name": 3},
    "a text for a number": SERVER | {"port": "9000"},
    "true for a number": SERVER | {"port": True},
    "a fraction for a whole number": SERVER | {"port": 9000.5},
    "a text for a fraction": SERVER | {"loop_share": "much"},
    "a word that is none of them": SERVER | {"desired": "perhaps"},
    "a time that is none": SERVER | {"since": "yesterday"},
    "a number for a time": SERVER | {"since": 3},
    "an object of another shape": SERVER | {"exit": COUNTS},
    "a list for an object": SERVER | {"spec": []},
}


@pytest.mark.parametrize("why", WRONG)
def test_other_json_is_refused(why: str) -> None:
    with pytest.raises(ValueError, match=r"missing|is no |isoformat|not in tuple"):
        echodeck.Server.model_validate(WRONG[why])


def test_an_object_is_read_only_and_equal_to_another_with_the_same_fields() -> None:
    counts = echodeck.Counts(**COUNTS)
    with pytest.raises(AttributeError, match="read-only"):
        counts.open = 3
    with pytest.raises(AttributeError, match="read-only"):
        del counts.open
    assert counts == echodeck.Counts(**COUNTS) == copy.deepcopy(counts) == pickle.loads(pickle.dumps(counts))
    assert counts != echodeck.Counts(**COUNTS | {"open": 3})
    assert len({counts, echodeck.Counts(**COUNTS)}) == 1
    assert repr(counts) == "Counts(open=1, total=2, waiting=0, peak=1, turned_away=0)"


# Requests

EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"items": [], "next": null}'


@contextmanager
def listening(answer: bytes = EMPTY) -> Iterator[tuple[int, list[str]]]:
    """A port that has this answer to one request, and the lines of the request."""
    lines: list[str] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while not (head := received[0]).endswith(b"\r\n\r\n"):
                received[0] = head + client.recv(1000)
            lines.extend(received[0].decode().split("\r\n"))
            client.sendall(answer)

    received = [b""]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], lines
        thread.join(20)


@pytest.mark.parametrize(
    ("path", "target"), [("", ""), ("/", ""), ("/lab/é x", "/lab/%C3%A9%20x"), ("/a%2Fb", "/a%2Fb")]
)
def test_an_address_may_have_a_path(path: str, target: str) -> None:
    with listening() as (port, lines), echodeck.Client(f"http://127.0.0.1:{port}{path}", "secret") as deck:
        assert deck.servers() == []
    assert lines[0] == f"GET {target}/servers?limit=1000 HTTP/1.1"
    assert {f"Host: 127.0.0.1:{port}", "Authorization: Bearer secret"} <= set(lines)


HOSTS = {
    "http://example.org": "example.org",
    "http://example.org:80": "example.org",
    "https://example.org:443": "example.org",
    "http://example.org:443": "example.org:443",
    "http://[::1]:8000": "[::1]:8000",
    "http://BÜCHER.example": "xn--bcher-kva.example",
}


@pytest.mark.parametrize("url", HOSTS)
def test_the_host_is_named_as_in_the_address(url: str) -> None:
    with echodeck.Client(url) as deck:
        assert deck._request("GET", "/servers")["headers"]["Host"] == HOSTS[url]


@pytest.mark.parametrize("url", ["http://ä..b", f"http://{'ü' * 70}"])
def test_a_host_that_cannot_be_looked_up_is_refused(url: str) -> None:
    with pytest.raises(UnicodeError):
        echodeck.Client(url)


def test_a_proxy_is_asked_with_its_own_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as (port, lines):
        monkeypatch.setenv("HTTP_PROXY", f"http://me:h%20sh@127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        with echodeck.Client("http://10.255.255.1:8000/lab", "secret") as deck:
            assert deck.servers() == []
    assert lines[0] == "GET http://10.255.255.1:8000/lab/servers?limit=1000 HTTP/1.1"
    assert {"Host: 10.255.255.1:8000", "Proxy-Authorization: Basic bWU6aCBzaA=="} <= set(lines)


@pytest.mark.parametrize("proxy", ["foo://bar", "http://127.0.0.1:99999", "socks5://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_blamed(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setitem(sys.modules, "socksio", None)  # the package that a SOCKS proxy needs
    with pytest.raises(echodeck.Unreachable, match=r"the proxy for http://10\.255\.255\.1 in the environment"):
        echodeck.Client("http://10.255.255.1")


def test_fields_that_json_has_not_are_not_sent() -> None:
    with echodeck.Client("http://127.0.0.1:1") as deck:
        with pytest.raises(ValueError, match="JSON"):
            deck.create("asyncio", idle_timeout=float("nan"))
        with pytest.raises(UnicodeError):
            deck.create("asyncio", name="\udcff")


# The feed

FEED = (
    b': hello\n\nretry: 1000\n\nevent: snapshot\ndata: {"servers":\ndata:  []}\n\n'
    b'id: 3\r\nevent:server\r\ndata:{"name": "\xc3\xa9"}\r\n\r\ndata: 1\n\nevent: cut\ndata: off'
)
EVENTS = [("snapshot", {"servers": []}), ("server", {"name": "é"}), ("message", 1)]


@given(st.lists(st.integers(0, len(FEED))))
def test_events_are_the_same_however_the_network_cuts_them(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(FEED)]
    chunks = [FEED[begin:end] for begin, end in pairwise(places)]
    assert list(map(tuple, echodeck._events(chunks))) == EVENTS


@pytest.mark.parametrize(
    ("head", "body"), [("text/html", b"<html>"), ("application/json", b"{}"), ("text/event-stream", b"data: {\n\n")]
)
def test_a_feed_of_another_program_is_none(head: str, body: bytes) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with (
        listening(answer) as (port, _),
        echodeck.Client(f"http://127.0.0.1:{port}") as deck,
        pytest.raises(echodeck.Unreachable, match="no Echodeck"),
    ):
        list(deck.events())
