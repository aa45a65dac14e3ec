"""From an exception to the connection and the bytes that caused it: read from its traceback, after the fact.

Nothing is recorded while bytes go through. What a variant had in its hands when it failed, its connection and the data
it had just received, is still there in the frames of the traceback.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import cast

from app.addresses import format_address
from app.history.exceptions import Details
from servers import Connection, Variant

MOST_PLACES = 64
MOST_NAME = 200
MOST_MESSAGE = 1000
MOST_TRACEBACK = 16_384
MOST_INPUT = 1024


def leaf(error: BaseException) -> BaseException:
    """The first of the exceptions that a group holds; what is no group is itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def message_of(error: BaseException) -> str:
    """Its message: bounded, and text that every encoding takes."""
    try:
        message = str(error)
    except BaseException:  # whatever its author did, an exit included
        message = "(its message cannot be had)"
    return bounded(message, MOST_MESSAGE)


def in_words(error: BaseException) -> str:
    """Its type and its message."""
    return f"{bounded(type(error).__name__, MOST_NAME)}: {message_of(error)}"


def bounded(text: str, most: int) -> str:
    """At most ``most`` characters, with the middle left out if need be, and no half of a surrogate pair."""
    if len(text) > most:
        text = f"{text[: most // 2]} [...] {text[-most // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode()


def trail(error: BaseException) -> Hashable:
    """Equal for exceptions of one kind from one place."""
    error = leaf(error)
    places = [(frame.f_code, at) for frame, at in _frames(error.__traceback__)]
    return type(error), len(places), tuple(places[:MOST_PLACES])


def connection_of(error: BaseException, source: Path) -> Connection | None:
    """The connection that was being served."""
    for values in _locals(error, source):
        for value in values:
            if issubclass(type(value), Connection):  # isinstance would ask the value itself
                return cast("Connection", value)
    return None


def input_of(error: BaseException, variant: Variant) -> bytes | None:
    """The last bytes that were received: those latest bound to a name, else the end of a buffer."""
    for values in _locals(error, variant.path):
        for kind in (bytes, bytearray):
            if found := [value for value in values if type(value) is kind and value]:
                # What has the prefix of an answer is one, made of what was received.
                return bytes(found[-1].removeprefix(variant.wire.prefix)[-MOST_INPUT:])
    return None


def details(error: BaseException, variant: Variant, connection_id: Callable[[int], str]) -> Details:
    """All there is to know of it. Runs code of the exception's class, which may do anything but never return."""
    cause = leaf(error)
    client = getattr(connection_of(error, variant.path), "client", None)
    return Details(
        connection=connection_id(client.number) if client else None,
        peer=format_address(*client.address[:2]) if client else None,
        type=bounded(type(cause).__qualname__, MOST_NAME),
        message=message_of(cause),
        traceback=traceback_of(error),
        input=input_of(error, variant) if client else None,
    )


def traceback_of(error: BaseException) -> str:
    """As Python prints it, bounded; for logs, too, which would fail where the exception's own code fails."""
    try:
        text = "".join(traceback.format_exception(error, limit=-MOST_PLACES))
    except BaseException:  # as above
        text = "".join(traceback.format_tb(error.__traceback__, limit=-MOST_PLACES))
    return bounded(text, MOST_TRACEBACK)


def _frames(at: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while at is not None:
        yield at.tb_frame, at.tb_lasti
        at = at.tb_next


def _locals(error: BaseException, source: Path) -> Iterator[list[object]]:
    """What the variant's own functions held, the innermost first."""
    frames: list[FrameType] = []
    while True:
        frames += [frame for frame, _ in _frames(error.__traceback__)]
        if not isinstance(error, BaseExceptionGroup):
            break
        error = error.exceptions[0]
    own = str(source)
    for frame in reversed(frames):
        if frame.f_code.co_filename == own:
            yield list(frame.f_locals.values())
