"""Whose task is it? Whatever a server's code creates belongs to that server's run, even what the code forgets.

A run marks the context it serves in; tasks inherit their creator's context (PEP 567), and the task factory finds the
mark. Threads inherit none, so they are given a copy of it when they start. By the same mark, what nobody caught and
what was logged is brought to the run it happened in.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import wraps
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

log = logging.getLogger("echodeck.adoption")


class Owner(Protocol):
    """A run, as seen from here."""

    @property
    def name(self) -> str: ...

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was created in the run's context; called on the loop."""

    def adopt_thread(self, thread: threading.Thread, work: Callable[[], None]) -> Callable[[], None]:
        """A thread is about to start in the run's context; returns the work to do there in place of its own."""

    def give_up_thread(self, thread: threading.Thread) -> None:
        """It was adopted, and could not be started."""

    def adopt_selector(self, selector: selectors.BaseSelector) -> None:
        """A selector was made in the run's context; called on the thread where that happened."""

    def logged(self, message: str) -> None:
        """Something was logged that is no exception; called on the thread where that happened."""

    def failed(self, error: BaseException, net: str) -> bool:
        """An exception was ``logged``, or nobody caught it in a ``task`` or ``thread``; called on that thread.

        Returns whether it is worth a line in the app's log: not if it was to be expected, or is one of many.
        """


OWNER: ContextVar[Owner] = ContextVar("owner")

_SELECTORS: set[Any] = {
    getattr(selectors, name)
    for name in ("SelectSelector", "PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector")
    if hasattr(selectors, name)
}

_MARK = "_echodeck_owner"
"""Attribute of tasks and threads. Not a table of weak references: those of a task in a reference cycle are cleared
before it says that nobody fetched its exception."""


@contextmanager
def tracking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """For as long as it lasts, the tasks and threads of servers find their owners, and exceptions theirs."""
    factory, handler, net = loop.get_task_factory(), loop.get_exception_handler(), _Logged()
    start, hook, root = threading.Thread.start, threading.excepthook, logging.getLogger()
    variants = logging.getLogger("servers")
    level = variants.level
    variants.setLevel(logging.INFO)  # what they say is for the journal, whatever the app's own log shows
    loop.set_task_factory(_create)
    loop.set_exception_handler(_later)
    root.addHandler(net)
    root.handlers.insert(0, root.handlers.pop())  # it says of a record whether those after it are to show it
    threading.Thread.start = lambda thread: _start(thread, start)  # type: ignore[method-assign, assignment]
    threading.excepthook = lambda unhandled: _thread_failed(unhandled, hook)
    inits = {kind: kind.__init__ for kind in _SELECTORS}
    for kind, init in inits.items():
        kind.__init__ = _noting(init)
    try:
        yield
    finally:
        for kind, init in inits.items():
            kind.__init__ = init
        threading.excepthook = hook
        threading.Thread.start = start  # type: ignore[method-assign]
        variants.setLevel(level)
        root.removeHandler(net)
        loop.set_exception_handler(handler)
        loop.set_task_factory(factory)


def claim(task: asyncio.Task[Any], owner: Owner) -> None:
    """This task is the owner's, though it was not created in the owner's context."""
    setattr(task, _MARK, owner)


def owner_of(one: object) -> Owner | None:
    """The run whose code created a task or a thread."""
    return getattr(one, _MARK, None)


class _Task(asyncio.Task[T]):
    """Keeps its name when ``create_task`` was given none: Python 3.13 sets the name None after the factory."""

    def set_name(self, value: object) -> None:
        if value is not None:
            super().set_name(value)


def _create(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
    *,
    name: object = None,
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[T]:
    # Python gives a factory the name, or sets it afterwards, or does both, depending on its version.
    owner = OWNER.get(None) if context is None else context.get(OWNER)
    if owner is not None and name is None:
        name = f"server:{owner.name}/{getattr(coroutine, '__name__', 'task')}"
    task: asyncio.Task[T] = _Task(coroutine, loop=loop, name=name, context=context, **options)  # type: ignore[arg-type]
    if owner is not None:
        claim(task, owner)
        owner.adopt(task)
    return task


def _start(thread: threading.Thread, start: Callable[[threading.Thread], None]) -> None:
    owner = OWNER.get(None)
    if owner is not None:
        setattr(thread, _MARK, owner)
        work = owner.adopt_thread(thread, thread.run)
        context = copy_context()
        thread.run = lambda: context.run(work)  # type: ignore[method-assign]
    try:
        start(thread)
    except RuntimeError:  # the system gives no further thread
        if owner is not None:
            owner.give_up_thread(thread)
        raise


def _noting(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def noted(selector: selectors.BaseSelector, *more: Any, **named: Any) -> None:
        init(selector, *more, **named)
        owner = OWNER.get(None)
        if owner is not None:
            owner.adopt_selector(selector)

    return noted


def _thread_failed(unhandled: threading.ExceptHookArgs, hook: Callable[[Any], object]) -> None:
    owner = owner_of(unhandled.thread)
    if owner is None or unhandled.exc_value is None:
        hook(unhandled)
    elif owner.failed(unhandled.exc_value, "thread"):
        log.error("a thread of %s failed", owner.name, exc_info=unhandled.exc_value)


def _later(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The garbage collector brings a task's exception in the midst of anything, with any lock held. Not here and now.
    try:
        loop.call_soon_threadsafe(_unhandled, loop, context)
    except RuntimeError:  # it is closed
        loop.default_exception_handler(context)


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error, future = context.get("exception"), context.get("future") or context.get("task")
    owner = owner_of(future) if future is not None else OWNER.get(None)  # the context came along
    if error is None or owner is None:
        loop.default_exception_handler(context)
    elif owner.failed(error, "task"):
        token = OWNER.set(owner)  # whose record it is in the log
        loop.default_exception_handler(context)
        OWNER.reset(token)


def is_news(record: logging.LogRecord) -> bool:
    """A filter for log handlers: leaves out the errors by which a run that is being stopped comes to its end, and most
    of those that repeat themselves."""
    return getattr(record, "is_news", True)


def is_the_apps(record: logging.LogRecord) -> bool:
    """A filter for log handlers: leaves out what servers raise and say."""
    return not getattr(record, "is_servers", False)


class _Logged(logging.Handler):
    """Needs no lock, and must have none: what it calls has its own, and may wait for a thread that is about to log."""

    def createLock(self) -> None:  # noqa: N802  # as logging has it
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._bring(record)
        except Exception:  # as other handlers do: logging must not fail
            self.handleError(record)

    def _bring(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        owner = OWNER.get(None)
        if owner is None:
            return
        record.is_servers = True
        if record.name == "asyncio":  # that is _unhandled speaking
            return
        if error is not None:
            record.is_news = owner.failed(error, "logged")
        elif record.levelno >= logging.INFO:
            owner.logged(record.getMessage())
