"""``/exceptions`` and ``/journal``: what happened, the newest first. What is shown is in the state file by then."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from app.api.problems import responses, rest_router
from app.errors import ForeignOrigin, Invalid, ReadOnly, Unknown
from app.shapes.happenings import Entries, EntryShape, Exceptions, ExceptionShape
from app.web.parameters import After, Limit, cut, known_server, position, supervisor

router = rest_router(tags=["exceptions"])

OfServer = Annotated[str | None, Query(description="Only those of this server.", max_length=200)]


@router.get("/exceptions", responses=responses(Unknown, Invalid))
async def list_exceptions(
    request: Request,
    server: OfServer = None,
    type: Annotated[str | None, Query(description="Only those of this type.", max_length=200)] = None,  # noqa: A002
    q: Annotated[
        str | None,
        Query(description="Only those with this text in type, message, peer, input or server.", max_length=200),
    ] = None,
    limit: Limit = 100,
    after: After = None,
) -> Exceptions:
    """What servers raised, equal exceptions of one run together."""
    known_server(request, server)
    chronicle = supervisor(request).chronicle
    found = chronicle.exceptions(position("exceptions", after) or None, server)
    found = [record for record in found if record.fits(type=type, text=q)]
    page, following = cut("exceptions", found, limit, lambda record: record.id)
    items = [ExceptionShape.of(record, chronicle) for record in page]
    await chronicle.flushed()
    return Exceptions(items=items, next=following)


@router.get("/exceptions/{id}", responses=responses(Unknown, Invalid))
async def get_exception(request: Request, id: str) -> ExceptionShape:
    """One exception, with its traceback."""
    chronicle = supervisor(request).chronicle
    item = ExceptionShape.of(chronicle.exception(id), chronicle)
    await chronicle.flushed()
    return item


@router.delete("/exceptions", status_code=204, responses=responses(Unknown, Invalid, ReadOnly, ForeignOrigin))
async def clear_exceptions(request: Request, server: OfServer = None) -> None:
    """Forget them, all or those of one server; the counts of the servers begin anew."""
    known_server(request, server)
    chronicle = supervisor(request).chronicle
    chronicle.clear_exceptions(server)
    await chronicle.flushed()


@router.get("/journal", responses=responses(Unknown, Invalid))
async def list_journal(request: Request, server: OfServer = None, limit: Limit = 100, after: After = None) -> Entries:
    """What happened to the servers."""
    known_server(request, server)
    chronicle = supervisor(request).chronicle
    found = chronicle.entries(position("journal", after) or None, server)
    page, following = cut("journal", found, limit, lambda entry: entry.id)
    items = [EntryShape.of(entry, chronicle) for entry in page]
    await chronicle.flushed()
    return Entries(items=items, next=following)
