"""A thread of one's own, awaited from the loop.

Not ``asyncio.to_thread``: the default executor has few workers, which a handful of blocked ``accept``s would use up,
and the interpreter waits for them at its exit. These threads are daemons; their owner waits for them as long as it
likes.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class CpuClock:
    """Processor time of one thread, readable from all; ``begin`` and ``end`` are called by the thread itself."""

    def __init__(self) -> None:
        self._clock: int | None = None
        self._at_end: float | None = None

    def begin(self) -> None:
        # By the thread itself: of a thread that has ended, pthread_getcpuclockid(3) may crash the process.
        self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def end(self) -> None:
        self._at_end = time.thread_time()

    @property
    def seconds(self) -> float:
        if self._at_end is None and self._clock is not None:
            with suppress(OSError):  # it ended this moment
                return time.clock_gettime(self._clock)
        return self._at_end or 0.0


class Worker(Generic[T]):
    """Runs ``work`` in a daemon thread; ``ended`` gets its result or its exception on the loop that started it."""

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.cpu = CpuClock()
        self.ended: asyncio.Future[T] = self._loop.create_future()
        self.thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Raises:
        RuntimeError: the system gives no further thread.
        """
        self.thread.start()

    def _main(self) -> None:
        self.cpu.begin()
        settle: Callable[[], None]
        try:
            result = self._context.run(self._work)
        except BaseException as error:
            settle = self._failed(error)
        else:
            settle = self._succeeded(result)
        self.cpu.end()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(settle)

    def _succeeded(self, result: T) -> Callable[[], None]:
        return lambda: None if self.ended.done() else self.ended.set_result(result)

    def _failed(self, error: BaseException) -> Callable[[], None]:
        if isinstance(error, StopIteration | KeyboardInterrupt | SystemExit):  # a future takes no such exception
            error = RuntimeError(f"the thread ended with {error!r}")
        return lambda: None if self.ended.done() else self.ended.set_exception(error)
