"""A recording of a server's calls: what it says of itself, and the calls, packed.

The head is a line of JSON that is read often; the body is compressed JSON of ``calls``, ``states`` and the ``source``.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

LEVEL = 3
"""zlib's."""

State = Literal["done", "stopped", "full"]
"""Its time was over; the server was stopped or removed, or the app ended; or there were too many calls."""


class NoRecording(ValueError):
    """What was kept is none."""


@dataclass(frozen=True)
class Recording:
    """``head`` has the fields of the contract but for the calls."""

    number: int
    head: dict[str, Any]
    body: bytes

    @property
    def id(self) -> str:
        return str(self.head["id"])

    @property
    def packed(self) -> bytes:
        return json.dumps(self.head).encode() + b"\n" + self.body

    @property
    def whole(self) -> str:
        """All of it, as JSON."""
        return json.dumps(self.head)[:-1] + "," + zlib.decompress(self.body).decode()[1:]


def pack(number: int, head: dict[str, Any], calls: list[str], states: list[str], source: str) -> Recording:
    """``calls`` and ``states`` are JSON, in their order."""
    body = f'{{"calls":[{",".join(calls)}],"states":[{",".join(states)}],"source":{json.dumps(source)}}}'
    return Recording(number, head, zlib.compress(body.encode(), LEVEL))


def unpack(number: int, packed: bytes) -> Recording:
    """Raises:
    NoRecording: that is none.
    """
    head, _, body = packed.partition(b"\n")
    try:
        found = json.loads(head)
        if not isinstance(found, dict) or "id" not in found or not body:
            raise NoRecording("it has no head")
        zlib.decompressobj().decompress(body, 64)
    except (ValueError, zlib.error) as reason:
        raise NoRecording(str(reason)) from reason
    return Recording(number, found, body)
