"""A recording as a Chrome trace (Trace Event Format), which Perfetto and chrome://tracing open.

The server is a process, each thread or task of it one thread there; its clients are a second process. A call is a
complete event; what a client sent flows from it to the call that received it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

SERVER, CLIENTS = 1, 2
RECEIVES = {"recv", "recv_into"}


def as_trace(recording: dict[str, Any]) -> str:
    """``recording`` is a whole one, of JSON."""
    events: list[dict[str, Any]] = [
        _named("process_name", SERVER, 0, f"{recording['server']} ({recording['file']})"),
        _named("process_name", CLIENTS, 0, "clients"),
    ]
    rows: dict[tuple[int, str], int] = {}

    def row(process: int, name: str) -> int:
        if (process, name) not in rows:
            rows[process, name] = len(rows) + 1
            events.append(_named("thread_name", process, len(rows), name))
        return rows[process, name]

    said = _said(recording)
    for one in sorted(recording["calls"], key=lambda call: (call["at"], call["n"])):
        took = one["took"] if one["took"] is not None else max(0.0, recording["seconds"] - one["at"])
        if one["times"] > 1:
            took = max(took, one["last"] - one["at"])
        tid = row(SERVER, one["task"] or one["thread"])
        args = {key: one[key] for key in ("on", "args", "result", "errno", "line", "times", "took") if key in one}
        if one["bytes"] is not None:
            args["bytes"] = b64decode(one["bytes"]).decode("latin-1")
        name = f"{one['call']} {one['on']}"
        events.append(
            {"ph": "X", "name": name, "cat": one["call"], "ts": _us(one["at"]), "dur": _us(took), "pid": SERVER,
             "tid": tid, "args": args}
        )  # fmt: skip
        if one["call"] in RECEIVES and one["result"]:
            ended = one["at"] + took
            sent = next((at for at in said.get(one["on"], []) if at <= ended), None)
            if sent is not None:
                said[one["on"]].remove(sent)
            client = row(CLIENTS, recording["connections"].get(one["on"], one["on"]))
            start = _us(min(ended, sent if sent is not None else ended))
            flow = {"name": "bytes", "cat": "bytes", "id": one["n"]}
            events.append(
                {"ph": "X", "name": f"sends {one['result']} B", "cat": "client", "ts": start, "dur": 1,
                 "pid": CLIENTS, "tid": client, "args": {"exact": sent is not None}}
            )  # fmt: skip
            events.append({"ph": "s", **flow, "ts": start, "pid": CLIENTS, "tid": client})
            events.append({"ph": "f", "bp": "e", **flow, "ts": _us(one["at"] + took), "pid": SERVER, "tid": tid})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"recording": recording["id"]}})


def _said(recording: dict[str, Any]) -> dict[str, list[float]]:
    """When each client of a script sent something, by its connection; nothing is known of others."""
    found: dict[str, list[float]] = {}
    for client in recording.get("clients") or []:
        for step in client["did"]:
            if step["does"].startswith(("say", "flood")) and client.get("connection"):
                found.setdefault(client["connection"], []).append(step["at"])
    return found


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)
