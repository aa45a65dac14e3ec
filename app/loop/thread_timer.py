"""A timer of the kernel that interrupts one thread with a signal: timer_create(2) with ``SIGEV_THREAD_ID``.

The signal reaches no other thread: system calls of other threads are not interrupted. Children have no such timer
(fork(2), exec(3)), and the signal's default action. It is SIGURG, whose default is to be ignored: one that comes after
its handler is gone, as while the interpreter ends, does nothing, where SIGPROF would end the process. Otherwise the
kernel sends it for urgent data only, where a program asked for that with ``F_SETOWN``.

The timer has the resolution of the kernel's clocks. One of processor time (``ITIMER_PROF``) is checked at the kernel's
own ticks only, every 4 ms on most systems, and aliases with callbacks that run at such a rate. System calls of the
thread itself end with EINTR, which Python tries again (PEP 475).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

SIGNAL = signal.SIGURG
_SIGEV_THREAD_ID = 4
"""Of asm-generic/siginfo.h."""


class Unsupported(Exception):
    """This system, this thread or this process cannot have such a timer."""


class _SigEvent(ctypes.Structure):
    """sigevent(3type), which has 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("padding", ctypes.c_int * 12),
    )


class _Interval(ctypes.Structure):
    """itimerspec(3type)."""

    _fields_ = (
        ("every_seconds", ctypes.c_long),
        ("every_nanoseconds", ctypes.c_long),
        ("first_seconds", ctypes.c_long),
        ("first_nanoseconds", ctypes.c_long),
    )


class ThreadTimer:
    """Calls ``handler`` on the main thread, which makes it, between two bytecodes; off until ``set``.

    Raises:
        Unsupported: why not.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        if sys.platform != "linux":
            raise Unsupported(f"there is no timer for one thread on {sys.platform}")
        if threading.current_thread() is not threading.main_thread():
            raise Unsupported("Python handles signals on the main thread only")
        if signal.getsignal(SIGNAL) is not signal.SIG_DFL:
            raise Unsupported(f"{SIGNAL.name} has a handler already")
        self._libc = ctypes.PyDLL(None, use_errno=True)  # it keeps the interpreter's lock: these calls do not block
        self._timer = ctypes.c_void_p()
        event = _SigEvent(None, SIGNAL, _SIGEV_THREAD_ID, threading.get_native_id())
        try:
            self._call("timer_create", time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer))
        except (OSError, AttributeError) as reason:
            raise Unsupported(str(reason)) from reason
        signal.signal(SIGNAL, handler)

    def set(self, first: int, every: int) -> None:
        """A signal after ``first`` nanoseconds, none if that is 0; then one ``every`` so many nanoseconds."""
        interval = _Interval(*divmod(every, 1_000_000_000), *divmod(first, 1_000_000_000))
        self._call("timer_settime", self._timer, 0, ctypes.byref(interval), None)

    def close(self) -> None:
        self._call("timer_delete", self._timer)
        # A signal that came before was handled on the way back from that call.
        signal.signal(SIGNAL, signal.SIG_DFL)

    def _call(self, function: str, *arguments: object) -> int:
        result: int = getattr(self._libc, function)(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{function}: {os.strerror(ctypes.get_errno())}")
        return result
