"""Lists a page at a time: ``?limit=`` and ``?after=`` a cursor that only this app makes."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import blake2s
from typing import Annotated, TypeVar

from fastapi import Query

from app.errors import Invalid

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in one answer.")]
After = Annotated[str | None, Query(description="The `next` of an earlier answer.", max_length=200)]


def cursor(kind: str, position: int) -> str:
    """Has a checksum, so that a made-up cursor is told from ours; it keeps nothing secret."""
    text = f"{kind}:{position}".encode()
    return urlsafe_b64encode(text + b":" + blake2s(text, digest_size=4).digest()).decode().rstrip("=")


def cut(kind: str, found: Sequence[T], limit: int, place: Callable[[T], int]) -> tuple[Sequence[T], str | None]:
    """The first ``limit`` of what was found, and the cursor for what follows them, if anything does."""
    page = found[:limit]
    return page, cursor(kind, place(page[-1])) if len(found) > limit else None


def position(kind: str, after: str | None) -> int:
    """The position that a cursor of this kind of list holds; 0 for the beginning.

    Raises:
        Invalid: no list of this kind ever gave out such a cursor.
    """
    if after is None:
        return 0
    try:
        decoded = urlsafe_b64decode(after.encode() + b"=" * (-len(after) % 4))
        found = int(decoded.removeprefix(f"{kind}:".encode())[:-5])
    except (binascii.Error, UnicodeError, ValueError):
        found = -1
    if found < 0 or cursor(kind, found) != after:
        raise Invalid("after: not a cursor of this list; take it from `next`.", field="after")
    return found
