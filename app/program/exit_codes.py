"""How the program ends, for scripts: 0 done, and these. Ctrl+C ends it with 130.

A command with several names goes on after one failed, and ends with the largest code that one had.
"""

from __future__ import annotations

from typing import NoReturn

import typer

REFUSED = 1
"""The app said no, or it cannot run."""
SENSELESS = 2
"""The command, a setting or a file is invalid."""
UNREACHABLE = 3
"""Nothing answers where the app should be, or it went away."""
UNKNOWN = 4
"""There is no such server, connection or variant."""
NOT_ALLOWED = 5
"""The token is missing, wrong, or only for reading."""
CUT_OFF = 6
"""``term``: the connection was reset, or its server was stopped."""


def fail(message: str, code: int) -> NoReturn:
    complain(message)
    raise typer.Exit(code)


def complain(message: str) -> None:
    typer.echo(f"echodeck: {message}", err=True)
