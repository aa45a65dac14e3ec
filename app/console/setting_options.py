"""The settings of a server as options of commands: ``--max-connections 100``, made from the model."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from app.supervising.setting import Declared
from app.supervising.spec import SETTINGS

NONE = "none"
"""How a setting is given that shall have no value."""


def takes_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with a parameter ``**given`` gets an option for each of these settings; those not given are None."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(SETTINGS[name]))
            for name in names
        ]

        @functools.wraps(command)
        def taking(*arguments: Any, **given: Any) -> None:
            command(*arguments, **given)

        taking.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return taking

    return decorate


def without_those_left_out(given: dict[str, Any]) -> dict[str, Any]:
    """Fields as REST takes them."""
    return {name: None if value == NONE else value for name, value in given.items() if value is not None}


def _option(declared: Declared) -> Any:
    setting = declared.setting
    if declared.kind in {"whole", "decimal"} and declared.nullable:
        text = f"{setting.help} {NONE}: {setting.empty}."
        return Annotated[Any, typer.Option(help=text, parser=_figure, metavar=f"N|{NONE}", show_default=False)]
    if declared.kind == "choice":
        values = list(setting.choices)
        text = f"{setting.help.removesuffix('.')}: {', '.join(values[:-1])} or {values[-1]}."
        return Annotated[str | None, typer.Option(help=text, autocompletion=lambda: values, show_default=False)]
    types: dict[str, type] = {"whole": int, "decimal": float, "flag": bool, "text": str}
    text = f"{setting.help} By default: {setting.empty}." if setting.empty else setting.help
    return Annotated[types[declared.kind] | None, typer.Option(help=text, show_default=False)]


def _figure(text: str) -> int | float | str:
    """REST says what is wrong with a word that is no figure."""
    for kind in (int, float):
        with suppress(ValueError):
            if math.isfinite(figure := kind(text)):  # JSON has no others
                return figure
    return text
