"""``echodeck.v1``: what a terminal's page and the app say to each other besides bytes, as JSON in text messages.

to the page     opened, accepted (the server's ``accept`` took it), eof (the server sent FIN), error; and, to one that
                asked by ``?taken=1``, taken (how many of its bytes the server's end has taken so far)
from the page   credit (n bytes have been shown), eof (send FIN)
"""

from __future__ import annotations

import json
from typing import Any, Literal

V1 = "echodeck.v1"
RAW = "binary"
"""The subprotocols, best first."""

CREDIT = 262_144
"""Bytes that are sent to the page before it has given credit for some."""

MOST_CHARACTERS = 4096
"""Of a text message from the page."""

INVALID_MESSAGE = 'A text message is {"type":"credit","bytes":N}, with N above 0, or {"type":"eof"}.'


def encode(what: str, **more: Any) -> str:
    return json.dumps({"type": what, **more})


def decode(text: str) -> int | Literal["eof"] | None:
    """Bytes of credit, or the end; None if it is invalid. A field of a later version is ignored."""
    if len(text) > MOST_CHARACTERS:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match message:
        case {"type": "credit", "bytes": int(count)} if type(count) is int and count > 0:
            return count
        case {"type": "eof"}:
            return "eof"
    return None
