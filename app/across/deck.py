"""What the pages show: of this app, or of all nodes of its fleet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.shapes.happenings import EntryShape, ExceptionShape
from app.shapes.nodes import NodeShape
from app.shapes.servers import ServerShape
from app.supervising.server import Server
from app.supervising.supervisor import Supervisor
from app.web.parameters import cut, position

if TYPE_CHECKING:  # an app without a fleet shows pages, too
    from app.across.lists import Lists
    from app.fleet.fleet import Fleet

LATEST = 12
MOST_EXCEPTIONS = 100


@dataclass(frozen=True)
class Deck:
    """``exceptions`` has the latest one of each server, as far as it is among those that a page holds."""

    servers: Sequence[Server] | Sequence[ServerShape]
    entries: Sequence[EntryShape]
    exceptions: Mapping[str, ExceptionShape]
    nodes: Sequence[NodeShape] = ()
    missing: Sequence[str] = ()

    def shapes(self, most: int) -> list[ServerShape]:
        """Of the first ones."""
        return [one if isinstance(one, ServerShape) else ServerShape.of(one) for one in self.servers[:most]]

    @classmethod
    def here(cls, supervisor: Supervisor) -> Deck:
        chronicle = supervisor.chronicle
        records = chronicle.exceptions()[:MOST_EXCEPTIONS]
        return cls(
            supervisor.servers(),
            [EntryShape.of(entry, chronicle) for entry in chronicle.entries()[:LATEST]],
            _latest(ExceptionShape.of(record, chronicle) for record in records),
        )

    @classmethod
    async def of_all(cls, fleet: Fleet, lists: Lists) -> Deck:
        from app.across.nodes import node_shapes

        servers: list[ServerShape] = []
        after: str | None = None
        while True:
            part = await lists.get("/servers", {"after": after} if after else {})
            servers += [ServerShape.model_validate(item) for item in part["items"]]
            after = part["next"]
            if after is None:
                break
        entries = await lists.get("/journal", {"limit": str(LATEST)})
        raised = await lists.get("/exceptions", {"limit": str(MOST_EXCEPTIONS)})
        nodes = await node_shapes(fleet)
        return cls(
            servers,
            [EntryShape.model_validate(item) for item in entries["items"]],
            _latest(ExceptionShape.model_validate(item) for item in raised["items"]),
            nodes,
            [one.name for one in nodes if one.servers is None],
        )


@dataclass(frozen=True)
class Catches:
    """A page of exceptions; and of all that there are, the servers and the types. ``known``: the servers there are."""

    caught: Sequence[ExceptionShape]
    older: str | None
    servers: Collection[str]
    types: Collection[str]
    known: Collection[str]

    @classmethod
    def here(cls, supervisor: Supervisor, wanted: Mapping[str, str], after: str | None, limit: int) -> Catches:
        chronicle = supervisor.chronicle
        everything = chronicle.exceptions()
        start = position("exceptions", after) or None
        server, kind, text = (wanted[name] or None for name in ("server", "type", "q"))
        matching = [
            record for record in everything if record.fits(server, kind, text) and (start is None or record.id < start)
        ]
        records, older = cut("exceptions", matching, limit, lambda record: record.id)
        return cls(
            [ExceptionShape.of(record, chronicle) for record in records],
            older,
            {record.server for record in everything},
            {record.details.type for record in everything},
            {one.name for one in supervisor.servers()},
        )

    @classmethod
    async def of_all(
        cls, fleet: Fleet, lists: Lists, wanted: Mapping[str, str], after: str | None, limit: int
    ) -> Catches:
        asked = {name: text for name, text in wanted.items() if text} | ({"after": after} if after else {})
        everything = (await lists.get("/exceptions", {"limit": "1000"}))["items"]
        part = await lists.get("/exceptions", {**asked, "limit": str(limit)})
        return cls(
            [ExceptionShape.model_validate(item) for item in part["items"]],
            part["next"],
            {item["server"] for item in everything},
            {item["type"] for item in everything},
            fleet.picture.servers.keys(),
        )


def _latest(records: Iterable[ExceptionShape]) -> dict[str, ExceptionShape]:
    latest: dict[str, ExceptionShape] = {}
    for record in records:
        latest.setdefault(record.server, record)
    return latest
