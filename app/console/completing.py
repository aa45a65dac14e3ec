"""What the shell completes from the app that runs: nothing, and quickly, if it is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

import echodeck
from app.console.reach import reached

SECONDS = 1.0
"""Nobody waits longer after pressing Tab."""

Complete = Callable[[typer.Context, str], list[str]]


def _completed(found: Callable[[echodeck.Client], Iterable[str]]) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            with reached(ctx.params.get("url"), ctx.params.get("token"), SECONDS) as deck:
                return [name for name in found(deck) if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


variants = _completed(lambda deck: [one.name for one in deck.variants()])
servers = _completed(lambda deck: [one.name for one in deck.servers()])
connections = _completed(lambda deck: [one.id for one in deck.connections() if one.state != "waiting"])
startable = _completed(
    lambda deck: [
        *(one.name for one in deck.variants()),
        *(one.name for one in deck.servers() if one.state != "running"),
    ]
)
exception_types = _completed(lambda deck: dict.fromkeys(one.type for one in deck.exceptions()))
