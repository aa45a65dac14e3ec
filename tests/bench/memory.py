"""Prints the bytes of Python objects that an idle connection costs its server and whoever watches it."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import sys
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from app.history.store import Store
from app.supervising.listening import Policy
from app.supervising.spec import ServerSpec
from app.supervising.supervisor import Supervisor
from servers import discover

COUNT = 4000


async def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    supervisor = Supervisor(discover(), Policy(range(1024, 65536), False), Store(None))
    await supervisor.open()
    for variant in ("selectors", "asyncio-basic", "asyncio"):
        server = await supervisor.create(ServerSpec(variant=variant, port=0, backlog=4096))
        clients: list[socket.socket] = [socket.socket() for _ in range(COUNT)]
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for client in clients:
            client.connect(("127.0.0.1", server.spec.port))
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while server.tally.open < COUNT:
                await asyncio.sleep(0.01)
        for inside in server.clients:
            inside.look()
        gc.collect()
        used = (tracemalloc.get_traced_memory()[0] - before) / COUNT
        tracemalloc.stop()
        print(f"an idle connection of {variant}: {used:,.0f} bytes of Python objects")  # noqa: T201
        for client in clients:
            client.close()
    await supervisor.close()


asyncio.run(main())
