"""Recordings and comparisons: made, kept, exported, refused; and the scripts by which clients come."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import echodeck
from app.glass import shelf as shelving
from app.glass.shelf import Shelf
from app.history.store import Store
from app.recordings.recording import NoRecording, pack, unpack
from app.recordings.script import MOST_CLIENTS, Mistake, parse
from app.recordings.scripts import SCRIPTS
from app.supervising.supervisor import Supervisor
from servers import discover
from tests.conftest import Program, Start
from tests.helpers import PATIENCE

Servers = Callable[..., echodeck.EchoServer]

SHORT = """
title = "Short"
[[client]]
name = "ann"
at = 0.1
does = ["connect", "wait 0.2", "say hello\\n", "wait 0.1", "say quit\\n", "read", "leave"]
[[client]]
name = "bob"
at = 0.2
does = ["connect", "say hi\\n", "wait 0.5", "say quit\\n", "wait 0.2", "leave"]
"""


@pytest.fixture(autouse=True)
def nothing_is_left(echodeck_app: echodeck.Client) -> Any:
    yield
    for one in echodeck_app.recordings():
        echodeck_app.forget_recording(one["id"])


def talk(server: echodeck.EchoServer, words: bytes) -> None:
    time.sleep(0.3)
    with socket.create_connection(server.address) as client:
        client.sendall(words)
        client.recv(100)


def recorded(deck: echodeck.Client, server: echodeck.EchoServer, seconds: float = 1.0) -> dict[str, Any]:
    talking = threading.Thread(target=talk, args=(server, b"</script><b>\x1b[31m\xff\n"))
    talking.start()
    made = deck.record(server.name, seconds)
    talking.join()
    return made


# Recordings


def test_a_recording_has_the_calls_of_its_time(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("asyncio")
    head = recorded(echodeck_app, server)
    assert (head["server"], head["variant"], head["state"]) == (server.name, "asyncio", "done")
    assert 0.9 < head["seconds"] <= 1.0
    whole = echodeck_app.recording(head["id"])
    assert {key: whole[key] for key in head} == head
    assert len(whole["calls"]) == head["count"]
    assert [one["n"] for one in whole["calls"]] == list(range(1, head["count"] + 1))
    (received,) = [one for one in whole["calls"] if one["call"] == "recv" and one["result"]]
    assert b64decode(received["bytes"]) == b"</script><b>\x1b[31m\xff\n"
    assert received["on"] in whole["connections"]
    assert whole["source"] == discover()["asyncio"].source
    assert whole["states"][0]["at"] == 0
    listed = httpx.get(f"{echodeck_app.url}/recordings").json()
    assert [one["id"] for one in listed["items"]] == [head["id"]]
    echodeck_app.forget_recording(head["id"])
    with pytest.raises(echodeck.Refused) as refused:
        echodeck_app.recording(head["id"])
    assert refused.value.status == 404


def test_what_has_not_returned_at_the_end_says_so(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    head = echodeck_app.record(echo_servers("blocking").name, 0.3)
    (accept,) = echodeck_app.recording(head["id"])["calls"]
    assert (accept["call"], accept["took"], accept["result"]) == ("accept", None, None)


def test_counts_of_a_storm_are_whole_in_a_recording(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("nonblocking")
    with socket.create_connection(server.address):
        time.sleep(0.3)
        whole = echodeck_app.recording(echodeck_app.record(server.name, 1.5)["id"])
    assert whole["folding"] == "second"
    asked = dict.fromkeys(("accept", "recv", "wait"), 0)
    for one in whole["calls"]:
        asked[one["call"]] += one["times"]
    # One turn of the loop asks each of them once.
    assert asked["recv"] > 3000
    assert abs(asked["accept"] - asked["recv"]) <= 2
    assert abs(asked["wait"] - asked["recv"]) <= 2


def test_a_trace_for_perfetto_has_processes_threads_calls_and_flows(
    echodeck_app: echodeck.Client, echo_servers: Servers
) -> None:
    head = recorded(echodeck_app, echo_servers("threads"))
    answer = httpx.get(f"{echodeck_app.url}/recordings/{head['id']}?format=chrome")
    assert "attachment" in answer.headers["content-disposition"]
    events = answer.json()["traceEvents"]
    named = {(one["name"], one["args"]["name"]) for one in events if one["ph"] == "M"}
    assert ("process_name", f"{head['server']} (beyond_threads.py)") in named
    assert sum(name == "thread_name" for name, _ in named) >= 3  # two threads, one client
    calls = [one for one in events if one["ph"] == "X" and one["pid"] == 1]
    assert {"accept", "recv", "sendall", "close"} <= {one["cat"] for one in calls}
    assert all(one["dur"] >= 0 and one["ts"] >= 0 for one in calls)
    starts, ends = ([one for one in events if one["ph"] == phase] for phase in "sf")
    assert len(starts) == len(ends) == 1
    assert starts[0]["id"] == ends[0]["id"]
    received = next(one for one in calls if one["cat"] == "recv" and one["args"]["result"])
    assert received["ts"] <= ends[0]["ts"] <= received["ts"] + received["dur"] + 0.2


def test_a_file_for_a_lesson_needs_nothing_else(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    head = recorded(echodeck_app, echo_servers("asyncio"))
    text = httpx.get(f"{echodeck_app.url}/recordings/{head['id']}?format=html").text
    data = re.search(r'id="recordings">(.*?)</script>', text, re.DOTALL)
    assert data
    assert json.loads(data[1])[0]["id"] == head["id"]
    frame = text.replace(data[0], "")
    assert not re.search(r"""\ssrc=|@import|url\((?!#)|^import |\bfetch\(""", frame, re.MULTILINE)


def test_recordings_outlive_the_app(program: Callable[..., Program], tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state.db"))
    running = program(*options)
    with echodeck.Client(running.url) as deck:
        name = deck.create("asyncio").name
        first = deck.recording(deck.record(name, 0.2)["id"])
        deck.record(name, 0.2)
    running.end()
    again = program(*options)
    with echodeck.Client(again.url) as deck:
        assert len(deck.recordings()) == 2
        assert deck.recording(first["id"]) == first
        deck.forget_recording(first["id"])
        assert deck.record(name, 0.1)["id"] not in (first["id"], "2")
    again.end()
    with echodeck.Client(program(*options).url) as deck:
        assert first["id"] not in [one["id"] for one in deck.recordings()]


def test_a_server_that_stops_ends_its_recording(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("asyncio")
    timer = threading.Timer(0.4, server.stop)
    timer.start()
    head = echodeck_app.record(server.name, 20)
    assert head["state"] == "stopped"
    assert head["seconds"] < 10


@pytest.mark.parametrize("body", [{"seconds": 31}, {"seconds": 0}, {"seconds": "x"}, {"second": 1}, []])
def test_a_recording_has_bounds(echodeck_app: echodeck.Client, echo_server: echodeck.EchoServer, body: Any) -> None:
    answer = httpx.post(f"{echodeck_app.url}/servers/{echo_server.name}/recordings", json=body)
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/invalid"


def test_so_many_are_made_at_once_and_no_more(echodeck_app: echodeck.Client, echo_servers: Servers) -> None:
    server = echo_servers("asyncio")
    path = f"{echodeck_app.url}/servers/{server.name}/recordings"
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(httpx.post(path, json={"seconds": 1}, timeout=20)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.status_code for one in answers) == [201] * 4 + [503] * 2
    refused = next(one for one in answers if one.status_code == 503)
    assert refused.json()["type"] == "/problems/recorders-busy"
    assert refused.headers["retry-after"]


async def test_the_newest_fifty_are_kept(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(supervisor, Store(None))
    for _ in range(53):
        number, id = shelf.next_id()
        await shelf.keep(pack(number, {"id": id}, [], [], ""))
    assert [one.number for one in shelf.all()] == list(range(53, 3, -1))
    monkeypatch.setattr(shelving, "MOST_BYTES", 5 * len(shelf.all()[0].body))
    number, id = shelf.next_id()
    await shelf.keep(pack(number, {"id": id}, [], [], ""))
    assert len(shelf.all()) == 5


def test_what_is_none_is_not_taken_for_a_recording() -> None:
    for packed in (b"", b"{}", b"{}\n", b'{"id":"1"}\nxyz', b"[1]\nx"):
        with pytest.raises(NoRecording):
            unpack(1, packed)


async def test_while_the_disk_is_full_a_recording_is_there_and_that_is_said(
    tmp_path: Path, start: Start, supervisor: Supervisor
) -> None:
    from app.errors import NotKept
    from app.glass.recorder import Recorder
    from app.lens.lenses import Lenses

    class Full(Store):
        async def flush(self) -> None:
            raise NotKept("It was done, but cannot be written down (the disk is full).", reason="full")

    shelf = Shelf(supervisor, Full(None))
    server = await start("asyncio")
    with pytest.raises(NotKept):
        await Recorder(Lenses(supervisor), shelf).record(server.name, 0.1)
    assert [one.head["server"] for one in shelf.all()] == [server.name]


# Comparisons


def test_the_same_clients_come_to_each_on_one_time_axis(echodeck_app: echodeck.Client) -> None:
    made = echodeck_app.compare(SHORT, ["blocking", "selectors", "asyncio"])
    assert made["title"] == "Short"
    assert [one["variant"] for one in made["items"]] == ["blocking", "selectors", "asyncio"]
    assert [one["id"] for one in made["items"]] == made["recordings"]
    zeros = [one["monotonic"] + one["zero"] for one in made["items"]]
    assert max(zeros) - min(zeros) < 0.001
    for one in made["items"]:
        assert [client["name"] for client in one["clients"]] == ["ann", "bob"]
        for client in one["clients"]:
            assert client["connection"] in one["connections"]
            assert [step["does"].split()[0] for step in client["did"]][:2] == [
                "connect",
                "wait" if client["name"] == "ann" else "say",
            ]
            accept = next(
                call for call in one["calls"] if call["call"] == "accept" and call["result"] == client["connection"]
            )
            connect = client["did"][0]
            assert abs(connect["at"] - one["zero"] - client["at"]) < 0.1
            assert accept["at"] + accept["took"] > connect["at"] - 0.05
    blocking, selectors = made["items"][:2]

    def let_in(one: dict[str, Any], name: str) -> float:
        id = next(client["connection"] for client in one["clients"] if client["name"] == name)
        accept = next(call for call in one["calls"] if call["call"] == "accept" and call["result"] == id)
        return float(accept["at"] + accept["took"] - one["zero"])

    assert let_in(blocking, "bob") > 0.38, "bob waits until ann is done"
    assert let_in(selectors, "bob") < 0.38
    assert max(state["queue"] for state in blocking["states"]) == 1
    assert [one["variant"] for one in echodeck_app.servers() if one.name in ("blocking", "selectors")] == []
    answer = httpx.get(f"{echodeck_app.url}/comparisons/{made['id']}")
    assert answer.json() == made
    assert "Short" in httpx.get(f"{echodeck_app.url}/comparisons/{made['id']}?format=html").text


def test_the_page_says_how_far_each_variant_is_until_it_has_the_recordings(echodeck_app: echodeck.Client) -> None:
    script = 'title = "Slow"\n[[client]]\ndoes = ["connect", "wait 2", "leave"]\n'
    given = {"script": script, "variants": ["blocking", "selectors"]}
    begun = httpx.post(f"{echodeck_app.url}/ui/comparisons", data=given)
    assert begun.status_code == 303
    address = f"{echodeck_app.url}{begun.headers['location']}"
    page = httpx.get(address).text
    assert re.findall(r'<li data-stage="\w+"><b translate="no">(\w+)</b>', page) == given["variants"]
    assert '<noscript><meta http-equiv="refresh" content="1"></noscript>' in page
    deadline = time.monotonic() + PATIENCE
    while 'id="pending"' in page:
        assert time.monotonic() < deadline
        page = httpx.get(address).text
    assert f'data-from="/comparisons/{address.rpartition("/")[2]}"' in page


def test_clients_may_reset_half_close_flood_and_never_read(echodeck_app: echodeck.Client) -> None:
    script = """
[[client]]
does = ["connect", "say x", "wait 0.2", "reset"]
[[client]]
does = ["connect", "say x", "half-close", "read", "leave"]
[[client]]
does = ["connect", "flood 8000000", "wait 0.5", "leave"]
[[client]]
at = 0.1
does = ["connect", "say hi\\n", "read", "wait 0.1", "read"]
"""
    (one,) = echodeck_app.compare(script, ["asyncio"])["items"]
    reset, half, flood, waits = one["clients"]
    calls = {
        client["name"]: [call for call in one["calls"] if call["on"] == client["connection"]]
        for client in one["clients"]
    }
    assert "ECONNRESET" in [call["errno"] for call in calls[reset["name"]]]
    assert 0 in [call["result"] for call in calls[half["name"]] if call["call"] == "recv"]
    sent = [call for call in calls[flood["name"]] if call["call"] == "send" and call["result"]]
    assert any(call["result"] < call["args"]["size"] for call in sent), "the buffer is full: a part is taken"
    assert max(state["unsent"].get(flood["connection"], 0) for state in one["states"]) > 100_000
    assert waits["did"][-1]["does"] == "read"
    assert "size" not in waits["did"][-1], "it waits in vain, until time is over"


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [
        ("[[client]\n", 1, "Expected"),
        ("title = 3\n[[client]]\ndoes = ['connect']\n", 1, "title"),
        ("titel = 'x'\n", 1, "'titel' is nothing that a script has"),
        ("\n\n", None, "no [[client]]"),
        ("[[client]]\nat = -1\ndoes = ['connect']\n", 2, "from 0 to 10"),
        ("[[client]]\nname = ''\ndoes = ['connect']\n", 2, "name"),
        ("[[client]]\ndo = ['connect']\n", 2, "'do' is nothing that a client has"),
        ("[[client]]\ndoes = 'connect'\n", 2, "does is a list"),
        ("[[client]]\ndoes = []\n", 2, "does is a list"),
        ("[[client]]\ndoes = ['connect']\n\n[[client]]\ndoes = ['connect',\n 'sing']\n", 6, "'sing' is nothing"),
        ("[[client]]\ndoes = ['connect', 'say ']\n", 2, "say what"),
        ("[[client]]\ndoes = ['connect', 'wait x']\n", 2, "a number of seconds"),
        ("[[client]]\ndoes = ['connect', 'wait nan']\n", 2, "a number of seconds"),
        ("[[client]]\ndoes = ['connect', 'flood 99999999']\n", 2, "a number of bytes"),
        ("[[client]]\ndoes = ['connect', 'leave now']\n", 2, "takes nothing"),
        ("[[client]]\ndoes = ['say x']\n", 2, "before it is connected"),
        ("[[client]]\ndoes = ['connect', 'connect']\n", 2, "connected already"),
        ("[[client]]\ndoes = ['connect', 'half-close', 'say x']\n", 2, "after a half-close"),
        ("[[client]]\nat = 5\ndoes = ['connect', 'wait 6']\n", 3, "takes 11 s"),
        ("[[client]]\ndoes = [1]\n", 2, "a step is a text"),
        ("[[client]]\ndoes = ['connect']\n" * (MOST_CLIENTS + 1), 101, "50 are the most"),
    ],
)
def test_a_mistake_in_a_script_has_its_line_and_reason(
    echodeck_app: echodeck.Client, script: str, line: int | None, words: str
) -> None:
    with pytest.raises(Mistake) as mistake:
        parse(script)
    assert mistake.value.line == line
    assert words in str(mistake.value)
    answer = httpx.post(f"{echodeck_app.url}/comparisons", json={"script": script, "variants": ["asyncio"]})
    assert answer.status_code == 422
    assert answer.json()["field"] == "script"
    assert answer.json()["errors"][0]["line"] == line


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"script": "one-client", "variants": []}, "variants"),
        ({"script": "one-client", "variants": ["asyncio"] * 5}, "variants"),
        ({"script": "one-client", "variants": ["asyncio", "asyncio"]}, "variants"),
        ({"script": "one-client", "variants": ["nobody"]}, "variants"),
        ({"script": "no-such-script", "variants": ["asyncio"]}, "script"),
        ({"script": "", "variants": ["asyncio"]}, "script"),
        ({"script": "x" * 40_000, "variants": ["asyncio"]}, "script"),
        ({"variants": ["asyncio"]}, "script"),
    ],
)
def test_what_cannot_be_compared_is_refused(echodeck_app: echodeck.Client, body: Any, field: str) -> None:
    answer = httpx.post(f"{echodeck_app.url}/comparisons", json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_twelve_lessons_are_there_and_short() -> None:
    assert len(SCRIPTS) == 12
    assert len({one.script.title for one in SCRIPTS.values()}) == 12
    for one in SCRIPTS.values():
        assert 1 < len(one.variants) <= 4
        assert set(one.variants) <= set(discover())
        assert one.script.seconds < 4
        assert one.lesson.endswith(".")


def test_the_lesson_on_silence_shows_what_each_waits_for(echodeck_app: echodeck.Client) -> None:
    made = echodeck_app.compare("three-clients-one-silent", ["blocking", "nonblocking", "selectors", "asyncio"])
    blocking, nonblocking, selectors, asyncio = made["items"]
    assert max(call["took"] for call in blocking["calls"] if call["call"] == "recv" and call["took"]) > 1.8
    assert max(state["queue"] for state in blocking["states"]) == 2
    assert sum(call["times"] for call in nonblocking["calls"] if call["errno"] == "EAGAIN") > 10_000
    for one in (selectors, asyncio):
        assert sum(call["times"] for call in one["calls"] if call["errno"] == "EAGAIN") < 20
        asleep = sum(call["took"] for call in one["calls"] if call["call"] == "wait")
        assert asleep > 0.5 * one["seconds"]
