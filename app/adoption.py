"""Whose task is it? Whatever a server's code creates belongs to that server's run, even what the code forgets.

A run marks the context it serves in; tasks inherit their creator's context (PEP 567), and the task factory finds the
mark. By the same mark, what nobody caught or what was logged with its traceback is brought to the run it happened in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class Owner(Protocol):
    """A run, as seen from here."""

    @property
    def name(self) -> str: ...

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was created in the run's context; called on the loop."""

    def expects(self, error: BaseException) -> bool:
        """Whether this is how things end when the run is being stopped, and no failure."""

    def failed(self, error: BaseException) -> None:
        """An exception was logged, or nobody fetched it; called on the thread where that happened."""


OWNER: ContextVar[Owner] = ContextVar("owner")

_owners: WeakKeyDictionary[asyncio.Future[Any], Owner] = WeakKeyDictionary()


@contextmanager
def adopting(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """For as long as it lasts, the loop's tasks find their owners, and exceptions theirs."""
    factory, handler, net = loop.get_task_factory(), loop.get_exception_handler(), _LoggedExceptions()
    loop.set_task_factory(_create)
    loop.set_exception_handler(_unhandled)
    logging.getLogger().addHandler(net)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(net)
        loop.set_exception_handler(handler)
        loop.set_task_factory(factory)


def _create(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T] | Generator[Any, None, T],
    *,
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[T]:
    task = asyncio.Task(coroutine, loop=loop, context=context, **options)
    owner = OWNER.get(None) if context is None else context.get(OWNER)
    if owner is not None:
        task.set_name(f"server:{owner.name}/{getattr(coroutine, '__name__', 'task')}")
        _owners[task] = owner
        owner.adopt(task)
    return task


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error, future = context.get("exception"), context.get("future") or context.get("task")
    owner = _owners.get(future) if future is not None else OWNER.get(None)
    if error is not None and owner is not None:
        if owner.expects(error):
            return
        owner.failed(error)
    loop.default_exception_handler(context)


def _logged(record: logging.LogRecord) -> tuple[Owner | None, BaseException | None]:
    error = record.exc_info[1] if record.exc_info else None
    return (OWNER.get(None), error) if record.name != "asyncio" else (None, None)  # that is _unhandled speaking


def is_news(record: logging.LogRecord) -> bool:
    """A filter for log handlers: leaves out the errors by which a run that is being stopped comes to its end."""
    owner, error = _logged(record)
    return owner is None or error is None or not owner.expects(error)


class _LoggedExceptions(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        owner, error = _logged(record)
        if owner is not None and error is not None and not owner.expects(error):
            owner.failed(error)
