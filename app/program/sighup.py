"""SIGHUP: the configuration is to be read again, or the terminal that the app was started in was closed.

Daemons take it for the former, and it ends every other program. Which one it was shows on the terminal itself: one that
was closed is no terminal any more for a process that still has it open (tty_ioctl(4) says EIO). Under nohup, which has
the signal ignored from the beginning, the app does not end with its terminal.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STANDARD = (0, 1, 2)


@contextmanager
def handled(look_again: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Within this, SIGHUP does one or the other, on the running loop; ``end`` is called once at most."""
    loop = asyncio.get_running_loop()
    terminals = [descriptor for descriptor in STANDARD if os.isatty(descriptor)]
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    ending = False

    def act() -> None:
        nonlocal ending
        if stays or not terminals or any(os.isatty(descriptor) for descriptor in terminals):
            look_again()
        elif not ending:  # the kernel and the shell both say it
            ending = True
            end()

    def handle(sig: int, frame: FrameType | None) -> None:
        # In a context of its own, as in the midst of a server's turn this would be the server's doing.
        loop.call_soon_threadsafe(act, context=contextvars.Context())

    before = signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
