"""A recording as a Chrome trace (Trace Event Format), which Perfetto and chrome://tracing open.

The server is a process, each thread or task of it one thread there; its clients are a second process. A call is a
complete event (``X``); what a client sent flows from it to the call that received it. Times are whole microseconds, as
a recording has them.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from app.recordings.slices import Slice, rows

SERVER, CLIENTS = 1, 2
RECEIVES = {"recv", "recv_into"}


def as_trace(recording: dict[str, Any]) -> str:
    """``recording`` is a whole one, of JSON."""
    said = _said(recording)
    calls = [_slice(one, recording["seconds"]) for one in recording["calls"]]
    placed = rows(calls)
    sends, flows = [], {}
    for one in sorted(calls, key=lambda one: (one.start, one.call["n"])):
        call = one.call
        if call["call"] in RECEIVES and call["result"]:
            times = said.get(call["on"], [])
            sent = next((at for at in times if at <= one.end), None)
            if sent is not None:
                times.remove(sent)
            start = one.end if sent is None else max(0, sent)
            client = recording["connections"].get(call["on"], call["on"])
            send = Slice(client, start, start + 1, {**call, "exact": sent is not None})
            sends.append(send)
            flows[id(one)] = flows[id(send)] = call["n"]
    events: list[dict[str, Any]] = [
        _named("process_name", SERVER, 0, f"{recording['server']} ({recording['file']})"),
        _named("process_name", CLIENTS, 0, "clients"),
    ]
    number = 0
    # Events of equal times count in the order of the file: a flow begins before it ends, in slices that are open.
    for process, found in ((CLIENTS, rows(sends)), (SERVER, placed)):
        for name, row in found:
            number += 1
            where = {"pid": process, "tid": number}
            events.append(_named("thread_name", process, number, name))
            for one in row:
                about = _send(one) if process == CLIENTS else _call(one)
                events.append({"ph": "X", "ts": one.start, "dur": one.end - one.start, **where, **about})
                if id(one) in flows:
                    flow = {"name": "bytes", "cat": "bytes", "id": flows[id(one)], **where}
                    ends = process == SERVER
                    events.append(
                        {"ph": "f", "bp": "e", "ts": one.end, **flow} if ends else {"ph": "s", "ts": one.start, **flow}
                    )
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"recording": recording["id"]}})


def _slice(call: dict[str, Any], seconds: float) -> Slice:
    """A call that had not returned lasts until the recording's end; merged ones until the last of them began."""
    took = call["took"] if call["took"] is not None else seconds - call["at"]
    start = _us(call["at"])
    end = start + max(0, _us(took))
    merged = ""
    if call["times"] > 1:
        end = max(end, _us(call["last"]))
        merged = f"{call['call']} {call['on']}"
    return Slice(call["task"] or call["thread"], start, end, call, merged)


def _call(one: Slice) -> dict[str, Any]:
    call = one.call
    args: dict[str, Any] = {
        key: call[key] for key in ("on", "args", "result", "errno", "line", "times", "took") if key in call
    }
    if call["bytes"] is not None:
        args["bytes"] = b64decode(call["bytes"]).decode("latin-1")
    return {"name": f"{call['call']} {call['on']}", "cat": call["call"], "args": args}


def _send(one: Slice) -> dict[str, Any]:
    return {"name": f"sends {one.call['result']} B", "cat": "client", "args": {"exact": one.call["exact"]}}


def _said(recording: dict[str, Any]) -> dict[str, list[int]]:
    """When each client of a script sent something, by its connection; nothing is known of others."""
    found: dict[str, list[int]] = {}
    for client in recording.get("clients") or []:
        for step in client["did"]:
            if step["does"].startswith(("say", "flood")) and client.get("connection"):
                found.setdefault(client["connection"], []).append(_us(step["at"]))
    return found


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
