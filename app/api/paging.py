"""Lists a page at a time: ``?limit=`` and ``?after=`` a cursor that only this app makes."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import Query

from app.errors import Invalid

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in one answer.")]
After = Annotated[str | None, Query(description="The `next` of an earlier answer.", max_length=200)]


def cursor(kind: str, position: int) -> str:
    return urlsafe_b64encode(f"{kind}:{position}".encode()).decode().rstrip("=")


def position(kind: str, after: str | None) -> int:
    """The position that a cursor of this kind of list holds; 0 for the beginning.

    Raises:
        Invalid: no list of this kind ever gave out such a cursor.
    """
    if after is None:
        return 0
    try:
        text = urlsafe_b64decode(after.encode() + b"=" * (-len(after) % 4)).decode()
        found = int(text.removeprefix(f"{kind}:"))
    except (binascii.Error, UnicodeError, ValueError):
        found = -1
    if found < 0 or cursor(kind, found) != after:
        raise Invalid("after: not a cursor of this list; take it from `next`.", field="after")
    return found
