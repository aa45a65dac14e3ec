"""Clients that say something now and then, in a process of their own.

python -m tests.bench.chatter PORT CLIENTS SECONDS: each sends a line twice a second and reads what comes back.
"""

from __future__ import annotations

import asyncio
import sys
import time


async def chat(port: int, number: int, until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(number % 50 / 100)
    while time.monotonic() < until:
        writer.write(b"something to say\n")
        await reader.readline()
        await asyncio.sleep(0.5)
    writer.close()


async def main() -> None:
    port, clients, seconds = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    await asyncio.gather(*(chat(int(port), number, until) for number in range(int(clients))))


if __name__ == "__main__":
    asyncio.run(main())
