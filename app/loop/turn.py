"""What a signal's handler interrupts on the loop's thread: a callback, the loop's own code, or its waiting.

All by the thread's own frames and context, in the handler.
"""

from __future__ import annotations

import asyncio
from types import CodeType, FrameType
from typing import Any

from app.loop.ownership import OWNER
from app.loop.shares import APP, IDLE

_RUN = asyncio.Handle._run.__code__
_RUN_ONCE = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # not declared
_DEPTH = 6
"""Calls that the loop's own code is deep at most, below ``_RUN_ONCE``."""


def owner_at(frame: FrameType, loop: asyncio.AbstractEventLoop, runner: CodeType | None) -> str:
    """Which server has the loop: its name, ``app`` or ``idle``.

    A loop that is busy calls ``select`` without waiting in it, and that belongs to the callback that is next. uvloop
    waits, and calls callbacks, without a Python frame of its own: it is idle where ``runner`` is, see ``runner_of``.
    """
    handle: Any = None
    inner: FrameType | None = frame
    for _ in range(_DEPTH):
        if inner is None:
            break
        if inner.f_code is _RUN:
            if inner is frame:  # the callback has just ended
                handle = frame.f_locals["self"]
            break
        if inner.f_code is _RUN_ONCE:
            ready = getattr(loop, "_ready", None)
            if not ready:
                return IDLE
            handle = ready[0]
            break
        inner = inner.f_back
    owner = OWNER.get(None) if handle is None else handle._context.get(OWNER)
    if owner is not None:
        return owner.name
    return IDLE if handle is None and frame.f_code is runner else APP


def turn_began(frame: FrameType | None) -> float | None:
    """asyncio's own note of when ``select`` returned; None on another loop."""
    while frame is not None and frame.f_code is not _RUN_ONCE:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get("end_time")


def runner_of(task: asyncio.Task[Any] | None) -> CodeType | None:
    """The innermost Python code of what runs the loop that calls this task now."""
    frame: FrameType | None = getattr(task and task.get_coro(), "cr_frame", None)
    return frame.f_back.f_code if frame is not None and frame.f_back is not None else None
