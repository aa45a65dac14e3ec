"""A call as it is told: who made it, on what, how it ended."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from app.addresses import format_address
from servers import Connection, Listener

MOST_BYTES = 64
"""Of what went through, that are told."""

EVENT_NAMES = {1: "read", 2: "write", 3: "read+write"}
HOW_NAMES = {socket.SHUT_RD: "read", socket.SHUT_WR: "write", socket.SHUT_RDWR: "both"}


@dataclass(slots=True, eq=False)
class Told:
    """``on`` and ``result`` are as the call had them; ``began`` and ``last`` in seconds of the monotonic clock,
    ``took`` in seconds, None while it has not returned. ``times`` calls in a row were equal, the last at ``last``.
    ``pending``: it was told before it had returned."""

    call: str
    on: Any
    argument: Any
    began: float
    took: float | None
    thread: str
    task: Any
    result: Any
    errno: int | None
    data: bytes | None
    line: int | None
    times: int = 1
    last: float = 0.0
    pending: bool = False
    tail: tuple[str, str] | None = None

    def equals(self, other: Told) -> bool:
        """The same call, on the same, from the same line, with the same outcome."""
        return (
            self.call == other.call
            and self.on is other.on
            and self.errno == other.errno
            and self.result == other.result
            and self.data == other.data
            and self.line == other.line
            and self.thread == other.thread
            and not self.pending
            and not other.pending
            and not isinstance(self.result, Connection)
        )


def id_of(on: Any, prefix: str, loop: Any) -> str:
    """How a socket or selector is called."""
    if isinstance(on, Listener):
        return "listener"
    if isinstance(on, Connection):
        return f"{prefix}{on.client.number}" if on.client is not None else "unknown"
    return "loop" if on is loop else "selector"


def arguments(told: Told, prefix: str, loop: Any) -> dict[str, Any]:
    given = told.argument
    match told.call:
        case "recv" | "recv_into":
            return {"bufsize": given}
        case "send" | "sendall" | "sendmsg":
            return {"size": given}
        case "select" | "wait":
            return {"timeout": None if given is None else round(max(given, 0.0), 6)}
        case "shutdown":
            return {"how": HOW_NAMES.get(given, str(given))}
        case "register" | "modify" | "unregister":
            file, events = given
            name = str(file) if isinstance(file, int) else id_of(file, prefix, loop)
            return {"file": name} | ({"events": EVENT_NAMES.get(events, str(events))} if events else {})
    return {}


def let_in(told: Told, prefix: str) -> tuple[str, str] | None:
    """Id and address of the client that this call has let in."""
    client = told.result.client if isinstance(told.result, Connection) else None
    return (f"{prefix}{client.number}", format_address(*client.address[:2])) if client is not None else None


def encoded(told: Told, prefix: str, loop: Any) -> tuple[str, str]:
    """The JSON of its fields but for the number, the times and the line; and that of its bytes."""
    if told.tail is None:
        came = let_in(told, prefix)
        result = told.result if not isinstance(told.result, Connection) else came[0] if came else None
        task = told.task.get_name() if isinstance(told.task, asyncio.Task) else None
        fields: dict[str, Any] = {
            "thread": told.thread,
            "task": task,
            "call": told.call,
            "on": id_of(told.on, prefix, loop),
            "args": arguments(told, prefix, loop),
            "result": result,
            "errno": errno.errorcode.get(told.errno, str(told.errno)) if told.errno is not None else None,
        }
        if came:
            fields["peer"] = came[1]
        data = b64encode(told.data).decode() if told.data is not None else None
        first = json.dumps(fields, separators=(",", ":"))[1:-1]
        tail = (first, "null" if data is None else f'"{data}"')
        if told.took is None:
            return tail
        told.tail = tail
    return told.tail
