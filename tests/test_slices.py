"""Traces for Perfetto: slices of one thread nest or follow each other, whatever was recorded."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

import echodeck
from app.recordings.chrome import as_trace
from app.recordings.slices import ROUNDING
from tests.helpers import until

SECONDS = st.integers(0, 3_000_000).map(lambda micro: micro / 1e6) | st.integers(0, 40).map(lambda micro: micro / 1e6)


def call(n: int, at: float, took: float | None, thread: str = "t", **more: Any) -> dict[str, Any]:
    plain = {"call": "recv", "on": "1-1", "task": None, "args": {}, "result": 6, "errno": None, "line": 1, "times": 1}
    return {"n": n, "at": at, "took": took, "thread": thread, "bytes": b64encode(b"hello\n").decode(), **plain, **more}


@st.composite
def calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Whatever a file may hold."""
    made = []
    for n in range(1, draw(st.integers(0, 15)) + 1):
        at, times = draw(SECONDS), draw(st.sampled_from([1, 1, 1, 2, 3000]))
        more = {
            "thread": draw(st.sampled_from(["a", "b"])),
            "task": draw(st.sampled_from([None, None, "b", "c"])),
            "call": draw(st.sampled_from(["recv", "send", "wait"])),
            "on": draw(st.sampled_from(["1-1", "1-2"])),
            "times": times,
        }
        if times > 1:
            more["last"] = at + draw(SECONDS)
        made.append(call(n, at, draw(st.none() | SECONDS), **more))
    return made


@st.composite
def one_threads_calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    """As a thread makes them, by a clock that is finer than what is written: nested, or one after the other."""
    made: list[dict[str, Any]] = []
    fine = st.floats(0, 3e-6) | st.floats(0, 1e-3)

    def add(now: float, depth: int) -> float:
        began = now
        for _ in range(draw(st.integers(0, 2 if depth < 3 else 0))):
            now = add(now + draw(fine), depth + 1)
        ended = now + draw(fine)
        made.append(call(len(made) + 1, round(began, 6), round(ended - began, 6)))
        return ended

    now = 0.0
    for _ in range(draw(st.integers(1, 12))):
        now = add(now + draw(fine), 0)
    return made


def recording(calls: list[dict[str, Any]], said: list[float] = []) -> dict[str, Any]:  # noqa: B006  # not changed
    did = [{"does": "say hello", "at": at} for at in said]
    clients = [{"connection": "1-1", "did": did}]
    known = {"1-1": "127.0.0.1:40001", "1-2": "127.0.0.1:40002"}
    about = {"id": "1", "server": "s", "file": "s.py", "seconds": 3.0}
    return {**about, "connections": known, "clients": clients, "calls": calls}


def events(recording: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(as_trace(recording))["traceEvents"]
    return found


def rows(events: list[dict[str, Any]], process: int = 1) -> dict[str, list[dict[str, Any]]]:
    """The slices of each row, by its name."""
    names = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
    found = defaultdict(list)
    for one in events:
        if one["ph"] == "X" and one["pid"] == process:
            found[names[one["tid"]]].append(one)
    return found


def overlapping(events: list[dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """Pairs of slices of one row of which neither nests in the other nor follows it."""
    by_row = defaultdict(list)
    for one in events:
        if one["ph"] == "X":
            by_row[one["pid"], one["tid"]].append(one)
    for row in by_row.values():
        for place, one in enumerate(row):
            for other in row[:place]:
                a, b = sorted((one, other), key=lambda each: (each["ts"], -each["dur"]))
                if a["ts"] + a["dur"] > b["ts"] and b["ts"] + b["dur"] > a["ts"] + a["dur"]:
                    yield a, b


@settings(max_examples=40)
@given(calls(), st.lists(SECONDS, max_size=4))
def test_slices_nest_or_follow_each_other_and_none_is_left_out(made: list[dict[str, Any]], said: list[float]) -> None:
    found = events(recording(made, said))
    assert list(overlapping(found)) == []
    shown = [one for row in rows(found).values() for one in row]
    wanted = Counter(round(one["at"] * 1e6) for one in made)
    assert Counter(one["ts"] for one in shown) == wanted
    ends = sorted(one["ts"] + one["dur"] for one in shown)
    full = sorted(
        max(round(one["at"] * 1e6) + max(0, round((3.0 - one["at"] if one["took"] is None else one["took"]) * 1e6)),
            round(one.get("last", 0) * 1e6))
        for one in made
    )  # fmt: skip
    assert all(abs(end - was) <= 2 * ROUNDING for end, was in zip(ends, full, strict=True))


@settings(max_examples=40)
@given(calls(), st.lists(SECONDS, max_size=4))
def test_flows_begin_and_end_in_slices_that_are_open(made: list[dict[str, Any]], said: list[float]) -> None:
    found = events(recording(made, said))
    flows: dict[int, dict[str, Any]] = defaultdict(dict)
    for place, one in enumerate(found):
        if one["ph"] in "sf":
            around = found[place - 1]
            assert (around["ph"], around["tid"]) == ("X", one["tid"])
            assert around["ts"] <= one["ts"] <= around["ts"] + around["dur"]
            flows[one["id"]][one["ph"]] = one["ts"], place
    received = [one for one in made if one["call"] == "recv" and one["result"]]
    assert len(flows) == len(received)
    assert all(flow["s"] <= flow["f"] for flow in flows.values())


@settings(max_examples=40)
@given(one_threads_calls())
def test_the_calls_of_a_thread_are_one_row_however_they_are_rounded(made: list[dict[str, Any]]) -> None:
    found = events(recording(made))
    assert list(overlapping(found)) == []
    assert list(rows(found)) == ["t"]


def test_merged_calls_with_others_in_between_have_rows_of_their_own() -> None:
    merged = [
        call(1, 0.0, 0.1, times=900, last=0.9),
        call(2, 0.001, 0.1, times=900, last=0.95, on="1-2"),
        call(3, 0.5, 0.0001, on="1-2"),
        call(4, 0.99, 0.001, times=2, last=0.995),
    ]
    found = rows(events(recording(merged)))
    assert {name: [one["ts"] for one in row] for name, row in found.items()} == {
        "t": [500_000, 990_000],
        "t: recv 1-1": [0],
        "t: recv 1-2": [1_000],
    }


async def test_a_recording_of_threads_with_five_clients(
    echodeck_app: echodeck.Client, echo_servers: Callable[..., echodeck.EchoServer]
) -> None:
    server = echo_servers("threads")
    enough = threading.Event()

    def talk() -> None:
        with socket.create_connection(server.address) as client:
            while not enough.is_set():
                client.sendall(b"hello\n")
                client.recv(100)
                enough.wait(0.004)

    clients = [threading.Thread(target=talk) for _ in range(5)]
    for one in clients:
        one.start()
    try:
        await until(lambda: server.now().connections.open == 5, "all five were accepted")
        head = echodeck_app.record(server.name, 1.0)
    finally:
        enough.set()
        for one in clients:
            one.join()
    found = httpx.get(f"{echodeck_app.url}/recordings/{head['id']}?format=chrome").json()["traceEvents"]
    echodeck_app.forget_recording(head["id"])
    assert list(overlapping(found)) == []
    threads = rows(found)
    assert len(threads) == 6, "one row a thread: five clients', and the one that accepts"
    assert sum(map(len, threads.values())) == head["count"] > 20
