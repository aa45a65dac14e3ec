"""SIGHUP: a request to read the configuration again, or the app's terminal was closed.

The first is its meaning for daemons; the second ends every other program. The terminal itself shows which one it is: a
descriptor of a closed terminal is no terminal any more (tty_ioctl(4): EIO). Under nohup, where the signal is ignored
from the beginning, the app does not end with its terminal.
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
def handled(look_again: Callable[[], object], end: Callable[[], None]) -> Iterator[None]:
    """Within this context SIGHUP calls one of both, on the running loop; ``end`` is called at most once."""
    loop = asyncio.get_running_loop()
    terminals = [descriptor for descriptor in STANDARD if os.isatty(descriptor)]
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    ending = False

    def act() -> None:
        nonlocal ending
        if stays or not terminals or any(os.isatty(descriptor) for descriptor in terminals):
            look_again()
        elif not ending:  # the kernel and the shell both send it
            ending = True
            end()

    def handle(sig: int, frame: FrameType | None) -> None:
        # In a context of its own: the handler may interrupt a server's callback, and the task would be the server's.
        loop.call_soon_threadsafe(act, context=contextvars.Context())

    before = signal.signal(signal.SIGHUP, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # what came since the program began is handled now
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
