"""Forms of settings: what a form shows, and what it sends as the app's models want it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.supervising.setting import Declared
from app.supervising.spec import SETTINGS, Limits

STARTING = ("name", "host", *Limits.model_fields)
"""The further settings of a new server, besides its variant and port."""

SIZES = {"decimal": 6, "text": 14}
"""Widths of inputs in characters; a whole number's is that of its largest value."""


def number(text: str, kind: type[int] | type[float]) -> Any:
    """The number, or the text itself where it is none: the model says what is wrong with it."""
    shape = r"[0-9]{1,9}" if kind is int else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    return kind(text) if re.fullmatch(shape, text, re.ASCII) else text


def size(declared: Declared) -> int:
    return SIZES.get(declared.kind) or len(f"{declared.most:.0f}") + 1


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as a form has them."""
    return {name: SETTINGS[name].as_text(value) for name, value in values.items()}


def defaults() -> dict[str, str]:
    """Those of the form that starts a server; a required setting is empty."""
    return as_text({name: declared.default for name, declared in SETTINGS.items() if name != "start"})


def changes(form: Mapping[str, str]) -> dict[str, Any]:
    """What a form of settings wants to be; a field that is empty, and may not be, is left as it was."""
    given: dict[str, Any] = {}
    for name, text in form.items():
        declared = SETTINGS[name]
        if not text:
            if declared.nullable:
                given[name] = None
        elif declared.kind == "flag":
            given[name] = text.lower() != "false"
        elif declared.kind in {"whole", "decimal"}:
            given[name] = number(text, int if declared.kind == "whole" else float)
        else:
            given[name] = text
    return given
