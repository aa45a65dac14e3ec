"""The parameters that routes share: the supervisor, the name of a server, and lists in pages.

A list is given in pages of ``?limit=`` items ``?after=`` a cursor, which only this app makes.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2s
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BeforeValidator
from starlette.requests import HTTPConnection

from app.errors import Invalid, Unknown
from app.supervising.precondition import IfMatch
from app.supervising.supervisor import Supervisor

if TYPE_CHECKING:
    from app.fleet.fleet import Fleet

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items in one answer.")]
After = Annotated[str | None, Query(description="The `next` of an earlier answer.", max_length=200)]

Step = Annotated[
    Literal[1, 60],
    BeforeValidator(lambda given: int(given) if str(given) in ("1", "60") else given),
    Query(description="Seconds in a step: ten minutes by the second, or a day by the minute."),
]
Last = Annotated[int | None, Query(ge=1, le=1440, description="How many of the latest steps; all that are kept.")]

MOST_WAIT = 60
"""Seconds that a request waits at most because its client prefers it: proxies give up then."""


def _if_match(
    request: Request,
    given: Annotated[
        str | None,
        Header(alias="If-Match", description="The `ETag` under which the server is to be changed; else 412."),
    ] = None,
) -> IfMatch:
    return IfMatch.of(request.headers.getlist("if-match"))


def _wait(
    request: Request,
    given: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description=f"`wait=SECONDS` (RFC 7240): how long to wait for the end; {MOST_WAIT} s at most.",
        ),
    ] = None,
) -> int | None:
    return preferred_wait(",".join(request.headers.getlist("prefer")))


Match = Annotated[IfMatch, Depends(_if_match)]
Wait = Annotated[int | None, Depends(_wait)]


def preferred_wait(prefer: str) -> int | None:
    """The seconds of ``wait`` in a ``Prefer`` header (RFC 7240, 4.3), bounded; None if there is none, or no number.

    Of several only the first counts; what is not known is ignored, as the RFC has it.
    """
    for preference in re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', prefer):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = value.strip().removeprefix('"').removesuffix('"')
            return min(MOST_WAIT, int(seconds)) if re.fullmatch(r"[0-9]{1,9}", seconds) else None
    return None


def supervisor(request: Request) -> Supervisor:
    found: Supervisor = request.app.state.supervisor
    return found


def there_is(connection: HTTPConnection, name: str | None) -> None:
    """For filters: a server that exists, here or at another node.

    Raises:
        Unknown: it does not.
    """
    fleet: Fleet | None = connection.app.state.fleet
    if name is not None and not (fleet and name in fleet.picture.servers):
        found: Supervisor = connection.app.state.supervisor
        found.server(name)


def known_server(request: Request, name: str | None) -> None:
    """For filters: a server that exists, or that the journal or the exceptions still name.

    Raises:
        Unknown: neither is true.
    """
    try:
        there_is(request, name)
    except Unknown:
        found = supervisor(request)
        if not found.chronicle.exceptions(server=name) and not found.chronicle.entries(server=name):
            raise


def cursor(kind: str, position: int) -> str:
    """With a checksum, so that an invented cursor is detected; a cursor contains no secret."""
    text = f"{kind}:{position}".encode()
    return urlsafe_b64encode(text + b":" + blake2s(text, digest_size=4).digest()).decode().rstrip("=")


def cut(kind: str, found: Sequence[T], limit: int, place: Callable[[T], int]) -> tuple[Sequence[T], str | None]:
    """The first ``limit`` items, and the cursor for the rest, if there is one."""
    page = found[:limit]
    return page, cursor(kind, place(page[-1])) if len(found) > limit else None


def page_of(rows: Iterable[str], following: str | None) -> Response:
    """A page of items that are JSON already, with the fields that all lists have."""
    following = "null" if following is None else f'"{following}"'
    text = f'{{"items":[{",".join(rows)}],"next":{following},"missing":[]}}'
    return Response(text, media_type="application/json")


def position(kind: str, after: str | None) -> int:
    """The position in a cursor of this kind of list; 0 for the beginning.

    Raises:
        Invalid: it is not a cursor of this kind of list.
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
