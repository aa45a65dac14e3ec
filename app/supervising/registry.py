"""Where it is written which servers there are: an app alone has its state file, a fleet what its nodes share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.connections.clients import Permit
from app.errors import Invalid, Refusal, Unknown
from app.history.schema import Saved, Statement, drop_server, put_server
from app.history.store import Store
from app.supervising.spec import ServerSpec

if TYPE_CHECKING:
    from app.supervising.server import Desired, Server


class Added(NamedTuple):
    """What a new server is known by: ``epoch`` is None for one that does not float."""

    serial: int
    epoch: int | None = None


class Registry(Protocol):
    """``permit`` is for servers that float, None where none does. ``keeps_here``: the servers of the state file are all
    there are."""

    @property
    def permit(self) -> Permit | None: ...

    @property
    def keeps_here(self) -> bool: ...

    def check(self) -> None:
        """Raises:
        EngineSilent: nothing can be written now.
        """

    def check_on(self, on: str | None) -> None:
        """Raises:
        Invalid: no server can be there.
        """

    def name_for(self, variant: str, port: int) -> str:
        """For a server whose user gives it none."""

    def adding(self, name: str, spec: ServerSpec, desired: Desired) -> AbstractAsyncContextManager[Added]:
        """While a new server is made.

        Raises:
            NameTaken: a server that is not here has the name.
            EngineSilent: it is not known whether it was written.
        """

    def save(self, server: Server) -> None:
        """Its spec or wish changed; ``flush`` waits until that is written."""

    def removing(self, server: Server) -> AbstractAsyncContextManager[None]:
        """While a server is removed for good."""

    def not_here(self, name: str) -> Refusal:
        """Why there is no server of that name: there is none, or another node has it."""

    async def flush(self) -> None:
        """Raises:
        NotKept: it cannot be written.
        """


class StateFile:
    """The registry of an app alone."""

    permit: Permit | None = None
    keeps_here = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next_serial = 1

    def has(self, serials: Iterable[int]) -> None:
        """These are taken."""
        self._next_serial = max([self._next_serial, *(serial + 1 for serial in serials)])

    def check(self) -> None:
        pass

    def check_on(self, on: str | None) -> None:
        if on is not None:
            raise Invalid("This app is no node of a fleet; leave `on` out.", field="on")

    def name_for(self, variant: str, port: int) -> str:
        return f"{variant}-{port}"

    @asynccontextmanager
    async def adding(self, name: str, spec: ServerSpec, desired: Desired) -> AsyncIterator[Added]:
        yield Added(self._next_serial)
        self._next_serial += 1

    def save(self, server: Server) -> None:
        self._store.put(saved(server))

    @asynccontextmanager
    async def removing(self, server: Server) -> AsyncIterator[None]:
        yield
        self._store.put(drop_server(server.name))

    def not_here(self, name: str) -> Refusal:
        return Unknown(f"There is no server {name!r}.", what="server")

    async def flush(self) -> None:
        await self._store.flush()


def saved(server: Server) -> Statement:
    return put_server(Saved(server.serial, server.name, server.spec.model_dump_json(), server.desired))
