"""Shell completion from the running app. Without an app nothing is completed, and quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

import echodeck
from app.console.reach import client

SECONDS = 1.0
"""The longest wait after Tab is pressed."""

Complete = Callable[[typer.Context, str], list[str]]


def _completer(names: Callable[[echodeck.Client], Iterable[str]]) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            with client(ctx.params.get("url"), ctx.params.get("token"), SECONDS) as deck:
                return [name for name in names(deck) if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


variants = _completer(lambda deck: [one.name for one in deck.variants()])
servers = _completer(lambda deck: [one.name for one in deck.servers()])
connections = _completer(lambda deck: [one.id for one in deck.connections() if one.state != "waiting"])
startable = _completer(
    lambda deck: [
        *(one.name for one in deck.variants()),
        *(one.name for one in deck.servers() if one.state != "running"),
    ]
)
exception_types = _completer(lambda deck: dict.fromkeys(one.type for one in deck.exceptions()))
