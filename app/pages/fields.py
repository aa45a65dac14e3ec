"""What forms send, as the app's models want it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NUMBERS: dict[str, type[int] | type[float]] = {
    "port": int,
    "backlog": int,
    "max_connections": int,
    "idle_timeout": float,
    "recv_size": int,
    "max_buffer": int,
}
UNBOUNDED = frozenset({"max_connections", "idle_timeout"})
"""Empty, these mean that there is no bound."""


def number(text: str, kind: type[int] | type[float]) -> Any:
    """The number, or the text itself where it is none: the model says what is wrong with it."""
    shape = r"[0-9]{1,9}" if kind is int else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    return kind(text) if re.fullmatch(shape, text, re.ASCII) else text


def changes(form: Mapping[str, str]) -> dict[str, Any]:
    """What a form of settings wants to be; a field that is empty, and may not be, is left as it was."""
    given: dict[str, Any] = {}
    for field, text in form.items():
        if field == "nodelay":
            given[field] = text.lower() != "false"
        elif text:
            given[field] = number(text, NUMBERS[field]) if field in NUMBERS else text
        elif field in UNBOUNDED:
            given[field] = None
    return given
