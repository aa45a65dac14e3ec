"""The connections of all servers as a table: clients inside, clients in accept queues, and the way to end one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from app.addresses import format_address
from app.connections.client import Client, Waiter
from app.connections.roster import Roster
from app.errors import NotAccepted, Unknown
from app.kernel import accept_queue
from app.loop.worker import Worker

log = logging.getLogger("echodeck.connections")

HANG_UP_SECONDS = 1.0
"""How long a hang-up waits for the server to let go of the connection."""


class ConnectionTable:
    """``note`` writes a sentence about a server into the journal. ``queues`` has the servers in whose accept queues
    clients wait: their names by the addresses on which they listen."""

    def __init__(
        self, roster: Roster, note: Callable[[str, str], None], queues: Callable[[], dict[tuple[str, int], str]]
    ) -> None:
        self._roster = roster
        self._note = note
        self._queues = queues
        self._look: asyncio.Task[None] | None = None

    async def page(self, after: int, limit: int, server: str | None = None) -> list[Client | Waiter]:
        """Up to ``limit`` with higher numbers than ``after``, in the order of their numbers."""
        found: list[Client | Waiter] = [*self._roster.clients()]
        if server is None or server in self._queues().values():  # else none of them waits
            found += await self.waiting()
        found = [one for one in found if one.number > after and (server is None or one.server == server)]
        found.sort(key=lambda one: one.number)
        return found[:limit]

    async def find(self, id: str) -> Client | Waiter:
        """Raises:
        Unknown: there is no such connection now.
        """
        found = self._roster.find(id)
        if isinstance(found, Waiter):  # as of the latest look
            await self.waiting()
            found = self._roster.find(id)
        return found

    async def accepted(self, id: str) -> Client:
        """Raises:
        Unknown: there is no such connection now.
        NotAccepted: it still waits in the accept queue.
        """
        client = await self.find(id)
        if isinstance(client, Waiter):
            raise NotAccepted(
                f"The client {format_address(*client.address)} waits in the kernel's accept queue, and only "
                f"{client.server!r} can take it out. Hang up the client that is served now, or stop the server, which "
                "resets the clients that wait.",
                server=f"/servers/{client.server}",
            )
        return client

    async def hang_up(self, id: str) -> None:
        """Return when the server has let go of the connection, or after ``HANG_UP_SECONDS``.

        Raises:
            Unknown: there is no such connection, or it was hung up already.
            NotAccepted: it still waits in the accept queue.
        """
        client = await self.accepted(id)
        if client.hung_up:
            raise Unknown(f"The connection {id!r} was hung up already.", what="connection")
        gone, loop = asyncio.Event(), asyncio.get_running_loop()
        client.gone += (lambda: loop.call_soon_threadsafe(gone.set),)
        client.hang_up()
        self._note(client.server, f"was told to hang up {format_address(*client.address[:2])}")
        if self._roster.holds(client):
            with suppress(TimeoutError):
                async with asyncio.timeout(HANG_UP_SECONDS):
                    await gone.wait()

    @property
    def anybody_waits(self) -> bool:
        return bool(self._queues())

    async def waiting(self) -> list[Waiter]:
        """The clients in the accept queues of all servers."""
        if self._look is None:
            if queues := self._queues():
                self._look = asyncio.create_task(self._look_at(queues), name="accept queues")
            else:
                self._roster.begin_look()
                self._roster.saw_waiting([], time.time())
        if self._look is not None:
            await asyncio.shield(self._look)  # one look for all callers meanwhile
        return self._roster.waiters()

    async def _look_at(self, queues: dict[tuple[str, int], str]) -> None:
        looked = time.time()
        self._roster.begin_look()
        worker = Worker("accept queues", lambda: accept_queue.read({port for _, port in queues}))
        try:
            worker.start()
            queued = await worker.ended
        except (OSError, RuntimeError) as error:  # no descriptor or thread is left; what was seen last must do
            log.warning("cannot see who waits: %s", error)
            return
        finally:
            self._look = None
        found = []
        for (address, port), peer, unread in queued:
            anywhere = "::" if ":" in address else "0.0.0.0"  # noqa: S104  # compared with, not bound to
            name = queues.get((address, port)) or queues.get((anywhere, port))
            if name is not None:
                found.append((name, (address, port), peer, unread))
        self._roster.saw_waiting(found, looked)
