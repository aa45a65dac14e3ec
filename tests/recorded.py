"""Recordings that are made up: any number of busy clients, without a server and without waiting."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from app.recordings.recording import Recording, pack

SECONDS = 2.5
ROUND = 0.21
"""Seconds between two messages of a client."""

WORDS = ("hello\n", "how are you today?\n", "日本語\n", "x" * 60)


class _Calls:
    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def add(self, call: str, at: float, took: float, on: str, **more: Any) -> None:
        about = {
            "thread": "MainThread",
            "task": None,
            "args": {},
            "result": 1,
            "errno": None,
            "bytes": None,
            "line": 22,
        }
        self.all.append({"n": 0, "at": at, "took": took, "call": call, "on": on, "times": 1} | about | more)

    def packed(self) -> list[str]:
        found = sorted(self.all, key=lambda one: one["at"])
        return [json.dumps(one | {"n": place + 1}) for place, one in enumerate(found)]


def made_up(
    clients: int, variant: str = "asyncio", number: int = 1, *, threads: int = 0, named: bool = False, zero: float = 0.1
) -> Recording:
    """All of a comparison have the same clients. ``threads``: those that serve, by turns; 0: the loop does.
    ``named``: the clients are a script's, which begins at ``zero``."""
    calls, ids = _Calls(), [f"1-{place + 1}" for place in range(clients)]
    states: list[dict[str, Any]] = [{"at": 0.0, "queue": 0, "unread": {}, "unsent": {}}]
    peers = {id: f"127.0.0.1:{51310 + place}" for place, id in enumerate(ids)}
    did: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
    for place, id in enumerate(ids):
        thread = f"worker-{place % threads}" if threads else "MainThread"
        came = 0.2 + place * 0.03
        did[id].append({"at": came - 0.02, "took": 0.001, "does": "connect", "error": None, "peer": peers[id]})
        calls.add("accept", came, 0.0001, "listener", result=id, thread=thread)
        states.append({"at": came - 0.02, "queue": place + 1, "unread": {}, "unsent": {}})
        at, turn = came + 0.05 + place * 0.017, 0
        while at < SECONDS - 0.3:
            data = WORDS[(turn + place) % len(WORDS)].encode()
            more = {"bytes": b64encode(data).decode(), "result": len(data), "thread": thread}
            did[id].append(
                {"at": at - 0.005, "took": 0.0, "does": "say", "error": None, "bytes": more["bytes"], "size": len(data)}
            )
            states.append(
                {"at": at - 0.005, "queue": turn % 3, "unread": {id: len(data)}, "unsent": {id: 70_000 * (turn % 2)}}
            )
            calls.add("recv", at, 0.002 if turn % 4 else 0.12, id, args={"bufsize": 65536}, **more)
            calls.add("sendall", at + 0.13, 0.0004, id, args={"bytes": len(data)}, **more | {"line": 24})
            calls.add("wait", at + 0.14, 0.05, "loop", line=None, result=turn % 3, thread=thread)
            states.append({"at": at + 0.13, "queue": 0, "unread": {}, "unsent": {}})
            at, turn = at + ROUND, turn + 1
        did[id].append({"at": SECONDS - 0.2, "took": 0.0, "does": "leave", "error": None})
        calls.add("close", SECONDS - 0.19, 0.0001, id, thread=thread, result=None)
    packed = calls.packed()
    script = [
        {"name": f"the talkative {place + 1}", "at": 0.1, "peer": peers[id], "connection": id, "did": did[id]}
        for place, id in enumerate(ids)
    ]
    head = {
        "id": str(number), "server": f"{variant}-8001", "variant": variant, "file": f"{variant}.py",
        "runs_on": "thread" if threads else "loop", "at": "2026-01-01T00:00:00+00:00", "monotonic": 0.0, "waits": True,
        "unseen": None, "connections": peers, "folding": "runs", "dropped": 0, "seconds": SECONDS, "state": "done",
        "count": len(packed), "clients": script if named else None, "zero": zero,
        "comparison": None,
    }  # fmt: skip
    states.sort(key=lambda one: one["at"])
    return pack(number, head, packed, [json.dumps(one) for one in states], "import socket\n" * 40)
