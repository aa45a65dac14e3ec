"""The columns of the pages' tables. The template paints them, and tells the script of each by its heading's attributes.

A column is one line here. ``key`` is the field of the shape in REST and the feed; ``cell`` says how a value is written:
it is the name of a case in templates/cells.html and of a function in static/painting/cells.js.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sort = Literal["text", "number", "time", "serial"]


def _(message: str) -> str:
    """Marks a message for the catalogue."""
    return message


@dataclass(frozen=True)
class Column:
    """``kind`` is its class in the style sheet: ``n`` for figures. ``sort``: what it is sorted by."""

    key: str
    words: str
    cell: str
    sort: Sort = "text"
    kind: str = ""


CONNECTIONS = (
    Column("peer", _("client"), "text", kind="c-peer"),
    Column("state", _("state"), "connection_state", kind="c-state"),
    Column("id", _("id"), "text", sort="serial", kind="c-id"),
    Column("since", _("since"), "span", sort="time", kind="n"),
    Column("bytes_in", _("in"), "size", sort="number", kind="n"),
    Column("bytes_out", _("out"), "size", sort="number", kind="n"),
    Column("unread", _("unread"), "size_or_nothing", sort="number", kind="n"),
    Column("idle", _("idle"), "idle", sort="number", kind="n"),
    Column("rtt_us", _("round trip"), "round_trip", sort="number", kind="n"),
)
