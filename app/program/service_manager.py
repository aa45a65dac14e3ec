"""What a service manager such as systemd is notified of: ready, reloading, stopping, and that the loop runs
(sd_notify(3), sd_watchdog_enabled(3)). Imported only where NOTIFY_SOCKET is set.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable

log = logging.getLogger("echodeck.service")

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """To be made on the running loop. It takes its variables out of the environment: children do not inherit them."""

    def __init__(self) -> None:
        address, interval, process = (os.environ.pop(name, "") for name in _VARIABLES)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._status = ""
        self._stopping = False
        self._failed = False
        self._next: asyncio.TimerHandle | None = None
        if interval.isdecimal() and int(interval) and process in ("", str(os.getpid())):
            self._beat(int(interval) / 1e6 / 2)

    def ready(self, status: str = "") -> None:
        """``status``: a sentence for ``systemctl status``; without it, the one of the last call."""
        self._status = status or self._status
        if not self._stopping:
            self._send("READY=1", f"STATUS={self._status}")

    def reload(self, begin: Callable[[], asyncio.Task[None] | None]) -> None:
        """Reloading, until the task that ``begin`` returns has ended; at once if it returns none."""
        if not self._stopping:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reading the manifest")
        task = begin()
        if task is None:
            self.ready()
        else:
            task.add_done_callback(lambda _: self.ready())

    def stopping(self) -> None:
        self._stopping = True
        self._send("STOPPING=1", "STATUS=Stopping the servers")

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self._socket.close()

    def _beat(self, interval: float) -> None:
        """A loop that is stuck does not come here, and the service manager ends the process."""
        self._send("WATCHDOG=1")
        self._next = asyncio.get_running_loop().call_later(interval, self._beat, interval)

    def _send(self, *lines: str) -> None:
        try:
            self._socket.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)
        except (OSError, ValueError) as error:
            if not self._failed:
                log.warning("the service manager cannot be notified: %s", error)
            self._failed = True
