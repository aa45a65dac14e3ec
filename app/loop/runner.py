"""The process's event loop: its kind, its run to the end whatever servers do, and its garbage collector."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger("echodeck")

_PYTHONS_OWN = (signal.default_int_handler, signal.SIG_DFL)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For ``asyncio.Runner``; ``name`` is ``asyncio`` or ``uvloop``."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return None


def run_to_the_end(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run the loop until this is done, even if a task of a server calls ``exit`` meanwhile.

    SystemExit and KeyboardInterrupt of any task leave the loop. The task keeps them, too, so that they are reported as
    its server's. A KeyboardInterrupt while Python's own handler is installed is a user's Ctrl+C.
    """
    asyncio.set_event_loop(loop)
    task = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as reason:
            pressed = isinstance(reason, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) in _PYTHONS_OWN
            if task.done() or pressed:
                raise
            log.error("a task tried to end the app with %r", reason)
            reason.with_traceback(_own_part(reason.__traceback__))


def _own_part(traceback: TracebackType | None) -> TracebackType | None:
    """Without the loop's frames, which hold the task: that cycle would delay the report of the forgotten task."""
    while traceback and traceback.tb_frame.f_globals.get("__name__", "").startswith(("asyncio.", __name__)):
        traceback = traceback.tb_next
    return traceback


def spare_the_loop() -> None:
    """Make full garbage collections rare: with 10,000 connections, one stops the loop for 0.2 s.

    Objects here are freed by their reference count; those from the start are kept anyway, and the little garbage that
    a start makes is not worth the 50 ms of a collection.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
