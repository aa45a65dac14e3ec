"""What a lens tells, held against strace: the same calls on each descriptor, in the same order, with the same results."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers import Variant, discover
from tests.conftest import ECHODECK
from tests.engines import until
from tests.helpers import first

TRACED = "accept4,recvfrom,sendto,sendmsg,shutdown,close,epoll_ctl,epoll_wait,epoll_pwait"
STRACE_COSTS = 0.05
"""Seconds by which what most calls took may differ: strace stops the thread before and after it, and a busy machine some
of them for longer."""

NAMES = {
    "recvfrom": ("recv", "recv_into"),
    "sendto": ("send", "sendall"),
    "sendmsg": ("sendmsg",),
    "shutdown": ("shutdown",),
    "close": ("close",),
}
CONTROLS = {"EPOLL_CTL_ADD": "register", "EPOLL_CTL_MOD": "modify", "EPOLL_CTL_DEL": "unregister"}

LINE = re.compile(r"(?P<pid>\d+) +(?P<at>[\d.]+) (?P<rest>.*)")
CALL = re.compile(r"(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\d+)(?: (?P<errno>E\w+))?.*<(?P<took>[\d.]+)>")


@dataclass(frozen=True)
class Traced:
    """A system call as strace has it."""

    at: float
    name: str
    args: str
    result: int
    errno: str | None
    took: float

    @property
    def descriptor(self) -> int:
        return int(re.match(r"\d+", self.args)[0])  # type: ignore[index]

    @property
    def outcome(self) -> int | str:
        return self.errno or self.result


def read(file: Path) -> list[Traced]:
    """In the order in which the calls returned; what strace writes in two parts is put together."""
    found, unfinished = [], {}
    for line in file.read_text(errors="replace").splitlines():
        parts = LINE.match(line)
        if parts is None:
            continue
        rest, at = parts["rest"], float(parts["at"])
        if rest.endswith("<unfinished ...>"):
            unfinished[parts["pid"]] = (at, rest.removesuffix("<unfinished ...>").rstrip())
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            at, begun = unfinished.pop(parts["pid"])
            rest = begun + resumed[1]
        if call := CALL.match(rest):
            result, took = int(call["result"]), float(call["took"])
            found.append(Traced(at, call["name"], call["args"], result, call["errno"], took))
    return found


class Seen:
    """The calls of a server, as its lens tells them, until the server is gone."""

    def __init__(self, url: str, name: str) -> None:
        self.calls: dict[int, dict[str, Any]] = {}
        self.begun = threading.Event()
        self.folding: set[str] = set()
        self._thread = threading.Thread(target=self._read, args=(f"{url}/servers/{name}/calls",))
        self._thread.start()
        assert self.begun.wait(10)

    def _read(self, url: str) -> None:
        event = ""
        with httpx.stream("GET", url, timeout=30) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: ") and event == "begin":
                    self.begun.set()
                elif line.startswith("data: ") and event == "calls":
                    data = json.loads(line[6:])
                    self.folding.add(data["folding"])
                    self.calls |= {one["n"]: one for one in data["calls"]}

    def ended(self) -> list[dict[str, Any]]:
        """In the order in which they returned."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert sorted(self.calls) == list(range(1, len(self.calls) + 1))
        return list(self.calls.values())


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An app under strace: its address, and the file that strace writes."""
    file = tmp_path_factory.mktemp("strace") / "trace"
    command = ["strace", "--seccomp-bpf", "-f", "-ttt", "-T", "-s", "0", "-e", f"trace={TRACED}", "-o", file]
    process = subprocess.Popen(
        [*command, ECHODECK, "serve", "--port", "0", "--state", ":memory:", "--json", "--quiet"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    url = json.loads(process.stdout.readline())["url"].rstrip("/")
    yield url, file
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(20)
    process.stdout.close()


def play(variant: Variant, address: tuple[str, int]) -> list[int]:
    """What clients do in some seconds; returns their ports, in the order in which they came."""
    ports = []

    def client() -> socket.socket:
        made = held.enter_context(socket.create_connection(address, timeout=10))
        ports.append(made.getsockname()[1])
        return made

    with ExitStack() as held:
        first = client()
        time.sleep(0.3)
        if variant.wire.answers == "nothing":
            return ports
        first.sendall(b"hello\n")
        time.sleep(0.3)
        second = client() if variant.wire.clients == "all at once" else None
        for _ in range(5):
            first.sendall(b"again\n")
            time.sleep(0.05)
        if second:
            second.sendall(b"boom\n" if variant.wire.boom else b"quit\n")
            time.sleep(0.2)
        first.sendall(b"x" * 200_000)
        first.sendall(b"quit\n")
        time.sleep(0.3)
        first.shutdown(socket.SHUT_WR)
        while first.recv(65536):
            pass
        if variant.wire.clients != "one in all":
            third = client()
            third.sendall(b"and gone")
            time.sleep(0.3)
            third.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            third.close()
            time.sleep(0.3)
    return ports


@pytest.mark.parametrize("variant", first(4, reversed(discover().values())), ids=lambda variant: variant.name)
def test_a_lens_tells_what_strace_tells(traced: tuple[str, Path], variant: Variant) -> None:
    url, file = traced
    began = time.time()
    with httpx.Client(base_url=url, timeout=20) as api:
        made = api.post("/servers", json={"variant": variant.name, "port": 0, "restart": "never"}).json()
        seen = Seen(url, made["name"])
        ports = play(variant, (made["host"], made["port"]))
        until(lambda: api.get(f"/servers/{made['name']}").json()["connections"]["open"] == 0, "all have left")
        api.delete(f"/servers/{made['name']}")
    told = seen.ended()
    trace = [one for one in read(file) if one.at >= began]  # a port may have been an earlier client's

    accepted = [one for one in told if one["call"] == "accept" and one["result"]]
    assert [port_of(one) for one in accepted] == ports
    for port, accept in zip(ports, accepted, strict=True):
        start, end = life_of(trace, port)
        descriptor = trace[start].result
        life = trace[start + 1 : end + 1]
        ours = [one for one in told if one["on"] == accept["result"]]
        compare(ours, [one for one in life if one.name in NAMES and one.descriptor == descriptor])
        controls = [one.args.split(", ") for one in life if one.name == "epoll_ctl" and one.errno is None]
        registered = [
            one["call"]
            for one in told
            if one["args"].get("file") == accept["result"] and (one["on"] == "loop" or one["at"] <= ours[-1]["at"])
        ]
        assert [CONTROLS[words[1]] for words in controls if words[2] == str(descriptor)] == registered
    if variant.runs_on == "loop" and seen.folding == {"runs"}:
        compare_waits(told, trace, ports[0], accepted)


def port_of(accept: dict[str, Any]) -> int:
    return int(accept["peer"].rpartition(":")[2])


def compare_waits(told: list[dict[str, Any]], trace: list[Traced], port: int, accepted: list[dict[str, Any]]) -> None:
    """The loop's, from the first client's coming to the last one's going."""
    ids = {one["result"] for one in accepted}
    last_told = max(n for n, one in enumerate(told) if one["call"] == "close" and one["on"] in ids)
    first_told = told.index(accepted[0])
    ours = sum(one["times"] for one in told[first_told:last_told] if one["call"] == "wait")
    last_port = next(port_of(one) for one in accepted if one["result"] == told[last_told]["on"])
    first, last = life_of(trace, port)[0], life_of(trace, last_port)[1]
    theirs = [one for one in trace[first:last] if one.name.startswith("epoll_") and "wait" in one.name]
    loops = Counter(one.descriptor for one in theirs).most_common(1)[0][0]
    waits = [one for one in theirs if one.descriptor == loops]
    # What the sampler's signal interrupts, Python tries again, unless its time is over: to the caller that is one call.
    interrupted = sum(one.errno == "EINTR" for one in waits)
    assert 10 < len(waits) - interrupted <= ours <= len(waits)


def life_of(trace: list[Traced], port: int) -> tuple[int, int]:
    """Where in the trace the client from this port is accepted, and where its connection is closed."""
    start = next(n for n, one in enumerate(trace) if one.name == "accept4" and f"htons({port})" in one.args)
    descriptor = trace[start].result
    after = enumerate(trace[start + 1 :], start + 1)
    return start, next(n for n, one in after if one.name == "close" and one.descriptor == descriptor)


def compare(ours: list[dict[str, Any]], theirs: list[Traced]) -> None:
    """The calls on one connection: one by one, or where they were folded by the second, counted."""
    expected = Counter((one.name, one.outcome) for one in theirs)
    found: Counter[tuple[str, int | str]] = Counter()
    back = {ours: name for name, all_of in NAMES.items() for ours in all_of}
    for one in ours:
        found[back[one["call"]], one["errno"] or one["result"]] += one["times"]
    assert found == expected
    if all(one["times"] == 1 for one in ours):
        assert [back[one["call"]] for one in ours] == [one.name for one in theirs]
        differ = []
        for one, other in zip(ours, theirs, strict=True):
            assert (one["errno"] or one["result"]) == other.outcome
            differ.append(abs(one["took"] - other.took))
        assert sorted(differ)[len(differ) * 3 // 4] < STRACE_COSTS
