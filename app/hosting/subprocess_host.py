"""A server host in a process of its own, and the control channel to it.

The channel is a pair of sockets. This side writes requests, one at a time, each a line of JSON: ``{"do": ..., ...}``.
The other side (``host_process``) answers each with a line, ``{"result": ..., "bytes": 0}`` and then as many bytes, or
``{"failed": REASON}``; it writes one line by itself, when it is ready. The channel's end is the end of that process.
"""

from __future__ import annotations

import asyncio
import json
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from app.hosting.python_process import python_process
from app.hosting.server_host import HostedServer, HostFailed

SECONDS_TO_START = SECONDS_TO_ANSWER = 20.0
LONGEST_LINE = 16 * 1024 * 1024
MODULE = "app.hosting.host_process"


class SubprocessHost:
    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer
        self._unanswered = True  # until it is ready

    async def start(self, spec: Mapping[str, Any]) -> HostedServer:
        result, _ = await self._request("start", spec=dict(spec))
        return HostedServer(*result)

    async def stop(self, name: str) -> None:
        await self._request("stop", name=name)

    async def lag(self) -> float | None:
        result, _ = await self._request("lag")
        return None if result is None else float(result)

    async def begin_trace(self, name: str) -> None:
        """Record the calls of a server from now on."""
        await self._request("begin trace", name=name)

    async def end_trace(self, name: str) -> tuple[dict[str, Any], bytes]:
        """The head and the body of a ``Recording``."""
        return await self._request("end trace", name=name)

    async def answer(self, to: str, seconds: float) -> tuple[Any, bytes]:
        """The result in the next answer, and the bytes that follow it; ``to`` is what was requested.

        Raises:
            HostFailed: the answer has a reason in place of a result, or is late; the process has ended.
        """
        try:
            async with asyncio.timeout(seconds):
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    line = await self._reader.readline()
                    if line.endswith(b"\n"):  # else the process ended before it, or within it
                        found = json.loads(line)
                        body = await self._reader.readexactly(found.get("bytes", 0))
                        self._unanswered = False
                        if "failed" in found:
                            raise HostFailed(f"the server host could not {to}: {found['failed']}")
                        return found["result"], body
                code = await self._process.wait()
        except TimeoutError:
            raise HostFailed(f"the server host did not {to} within {seconds:g} seconds") from None
        raise HostFailed(f"the server host has ended with {code}")

    async def _request(self, do: str, **more: Any) -> tuple[Any, bytes]:
        if self._unanswered:  # an answer that comes now would be that to an earlier request, which was cancelled
            raise HostFailed("the server host has not answered an earlier request")
        self._unanswered = True
        self._writer.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return await self.answer(do, SECONDS_TO_ANSWER)


@asynccontextmanager
async def subprocess_host(loop: str) -> AsyncIterator[SubprocessHost]:
    """``loop`` is the kind of its event loop. Servers that run in it at the end of the context end with it.

    Raises:
        HostFailed: it did not start.
    """
    async with AsyncExitStack() as stack:
        try:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            arguments, inherited = (str(theirs.fileno()), loop), [theirs.fileno()]
            process = await stack.enter_async_context(python_process(MODULE, *arguments, pass_fds=inherited))
        except OSError as reason:
            raise HostFailed(f"the server host could not start: {reason.strerror}") from reason
        theirs.close()  # so that the channel ends with the process
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_LINE)
        stack.callback(writer.close)
        host = SubprocessHost(process, reader, writer)
        await host.answer("start", SECONDS_TO_START)
        yield host
