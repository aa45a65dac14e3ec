"""A server host as a process of its own: the loop, the supervisor and the tracer, requested through the channel that
``subprocess_host`` describes. Nothing of the web is imported here.

The process ends with its channel, at once and whatever its loop is doing: a thread of its own reads. The kernel closes
the channel when the process that has the other end dies, however it dies; no other process has that end, as Python
lets no descriptor be inherited unless that is requested.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.history.store import Store
from app.hosting.server_host import InProcessHost
from app.kernel import descriptors
from app.lens.call_records import CallRecords
from app.lens.lenses import Lenses
from app.lens.viewer import Viewer
from app.loop.runner import loop_factory, run_to_the_end, spare_the_loop
from app.recordings.recording import pack
from app.supervising.listening import Policy
from app.supervising.supervisor import Supervisor
from servers import discover

PORTS = range(1024, 65536)


class HostProcess:
    """Carries out requests, one at a time and in their order."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._host = InProcessHost(supervisor)
        self._lenses = Lenses(supervisor)
        self._traces: dict[str, tuple[Viewer, CallRecords, asyncio.Task[None]]] = {}

    async def answer(self, line: bytes) -> bytes:
        """The answer to a request, as it goes through the channel."""
        try:
            result, body = await self._carry_out(json.loads(line))
        except Exception as error:  # of whatever kind: the requester has to know
            return _line({"failed": str(error) or type(error).__name__})
        return _line({"result": result, "bytes": len(body)}) + body

    async def _carry_out(self, request: dict[str, Any]) -> tuple[Any, bytes]:
        match request:
            case {"do": "start", "spec": spec}:
                return await self._host.start(spec), b""
            case {"do": "stop", "name": name}:
                await self._host.stop(name)
            case {"do": "lag"}:
                return await self._host.lag(), b""
            case {"do": "begin trace", "name": name}:
                self._begin_trace(name)
            case {"do": "end trace", "name": name}:
                return await self._end_trace(name)
            case _:
                raise LookupError(f"there is no request {request}")
        return None, b""

    def _begin_trace(self, name: str) -> None:
        viewer = self._lenses.look(name)
        records = CallRecords(viewer)
        self._traces[name] = viewer, records, asyncio.create_task(records.collect(), name=f"trace: {name}")

    async def _end_trace(self, name: str) -> tuple[dict[str, Any], bytes]:
        viewer, records, task = self._traces.pop(name)
        viewer.stop()
        await task
        source = viewer.server.variant.source
        made = await asyncio.to_thread(pack, 0, records.head, records.calls, records.states, source)
        return made.head, made.body


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


async def serve(channel: socket.socket) -> None:
    supervisor = Supervisor(discover(), Policy(PORTS, beyond_loopback=False), Store(None))
    spare_the_loop()  # before the loop's lag is measured
    await supervisor.open()
    requests: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def deliver(line: bytes) -> None:
        loop.call_soon_threadsafe(requests.put_nowait, line)

    threading.Thread(target=_read, args=(channel, deliver), name="control channel", daemon=True).start()
    process, answer = HostProcess(supervisor), _line({"result": "ready"})
    while True:
        await asyncio.to_thread(channel.sendall, answer)  # it may be large, and is not to hold up the loop
        answer = await process.answer(await requests.get())


def _read(channel: socket.socket, deliver: Callable[[bytes], None]) -> None:
    with suppress(OSError), channel.makefile("rb") as lines:
        for line in lines:
            deliver(line)
    os._exit(0)


def main(descriptor: str, loop: str) -> None:
    """``descriptor`` is the number of the channel's end; ``loop`` the kind of the event loop."""
    descriptors.raise_limit()
    # As in the app: what servers log is made into records, and reaches no handler but that of the journal.
    logging.getLogger().setLevel(logging.INFO)
    with socket.socket(fileno=int(descriptor)) as channel, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        run_to_the_end(runner.get_loop(), serve(channel))
