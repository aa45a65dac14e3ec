"""A selector that waits inside the event loop.

An epoll or kqueue descriptor is itself readable when something in it is ready (epoll(7)). So the loop watches that one
descriptor, and ``select`` is called with a timeout of zero only when it has something to say: many sockets, one entry
in the loop, and no thread.
"""

import asyncio
import selectors
import socket
from typing import Any, Protocol, Self, cast


class Ready(Protocol):
    """A ``selectors.SelectorKey`` whose file is a socket."""

    @property
    def fileobj(self) -> socket.socket: ...
    @property
    def fd(self) -> int: ...
    @property
    def events(self) -> int: ...
    @property
    def data(self) -> Any: ...


class LoopSelector(selectors.DefaultSelector):
    """``selectors.DefaultSelector`` whose wait is awaited; use it as a context manager on the running loop."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._turn: asyncio.Future[None] | None = None
        self._loop.add_reader(self.fileno(), self._wake)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.remove_reader(self.fileno())
        self.close()

    async def ready(self) -> list[tuple[Ready, int]]:
        """Wait until something is ready, then return it as ``select`` does. One waiter at a time."""
        self._turn = self._loop.create_future()
        await self._turn
        return cast("list[tuple[Ready, int]]", self.select(0))

    def _wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
