"""The tutorial's last server as it stands there, without a supervisor: what ours is compared with.

python -m tests.bench.tutorial PORT
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys


async def echo(connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    try:
        while data := await loop.sock_recv(connection, 1024):
            if data == b"boom\n":
                raise RuntimeError("boom")
            await loop.sock_sendall(connection, data)
    except Exception:
        logging.exception("a client failed")
    finally:
        connection.close()


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener:
        listener.setblocking(False)
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            asyncio.create_task(echo(connection, loop))  # noqa: RUF006  # as the tutorial has it


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(int(sys.argv[1])))
