"""Exceptions and the journal."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from app.history.chronicle import Chronicle
from app.history.exceptions import Caught
from app.history.journal import Entry


class ExceptionShape(BaseModel):
    """Equal exceptions of one run of a server: how many, and one of the latest in full."""

    id: str
    node: Annotated[str | None, Field(description="Of a fleet, where it happened.")] = None
    at: Annotated[datetime, Field(description="The latest time.")]
    first_at: datetime
    count: int
    server: str
    variant: str
    connection: Annotated[str | None, Field(description="The id of the connection that was being served.")]
    peer: str | None
    type: Annotated[str, Field(examples=["RuntimeError"])]
    message: str
    traceback: str
    input: Annotated[
        str | None,
        Field(description="The last bytes that the connection sent, as Python writes them.", examples=["b'boom\n'"]),
    ]
    fatal: Annotated[bool, Field(description="The server died of it.")]

    @classmethod
    def of(cls, record: Caught, chronicle: Chronicle) -> ExceptionShape:
        details = record.details
        return cls(
            id=chronicle.id(record.id),
            node=chronicle.node or None,
            at=record.at,
            first_at=record.first_at,
            count=record.count,
            server=record.server,
            variant=record.variant,
            connection=details.connection,
            peer=details.peer,
            type=details.type,
            message=details.message,
            traceback=details.traceback,
            input=None if details.input is None else repr(details.input),
            fatal=record.fatal,
        )


class Exceptions(BaseModel):
    items: list[ExceptionShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what came before; null at the end.")]
    missing: Annotated[list[str], Field(description="Nodes of a fleet that did not answer in time.")] = []


class EntryShape(BaseModel):
    id: str
    node: Annotated[str | None, Field(description="Of a fleet, where it happened.")] = None
    at: datetime
    server: str
    what: str

    @classmethod
    def of(cls, entry: Entry, chronicle: Chronicle) -> EntryShape:
        return cls(
            id=chronicle.id(entry.id), node=chronicle.node or None, at=entry.at, server=entry.server, what=entry.what
        )


class Entries(BaseModel):
    items: list[EntryShape]
    next: Annotated[str | None, Field(description="Pass it as `after` for what came before; null at the end.")]
    missing: Annotated[list[str], Field(description="Nodes of a fleet that did not answer in time.")] = []
