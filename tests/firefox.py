"""Firefox, with what Playwright asks of it and it does not know yet left out.

    python tests/firefox.py FIREFOX OPTIONS...

starts it, and stands between it and Playwright, which speak WebDriver BiDi over a WebSocket.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

UNKNOWN = {"emulation.setMediaFeaturesOverride"}
"""Playwright sets the media features of each context; Firefox ESR 153 has no such command."""


async def main() -> int:
    firefox = await asyncio.create_subprocess_exec(*sys.argv[1:], stderr=asyncio.subprocess.PIPE)
    assert firefox.stderr is not None
    while not (
        found := re.search(rb"(WebDriver BiDi listening on )(ws://\S+)", line := await firefox.stderr.readline())
    ):
        if not line:
            return await firefox.wait()
        sys.stderr.buffer.write(line)
    address = found[2].decode()

    async def between(playwright: ServerConnection) -> None:
        path = playwright.request.path if playwright.request else ""
        async with connect(address.rstrip("/") + path, max_size=None, proxy=None, ping_interval=None) as browser:

            async def ask() -> None:
                async for message in playwright:
                    command = json.loads(message)
                    if command["method"] in UNKNOWN:
                        await playwright.send(json.dumps({"type": "success", "id": command["id"], "result": {}}))
                    else:
                        await browser.send(message)
                await browser.close()

            asking = asyncio.create_task(ask())
            async for message in browser:
                await playwright.send(message)
            await playwright.close()
            await asking

    async with serve(between, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        sys.stderr.write(f"WebDriver BiDi listening on ws://127.0.0.1:{port}\n")
        sys.stderr.flush()
        while line := await firefox.stderr.readline():
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
        return await firefox.wait()


sys.exit(asyncio.run(main()))
