"""The exit codes of the program: 0 for success, and these. After Ctrl+C it is 130.

A command with several names goes on after a failure, and ends with the largest code.
"""

from __future__ import annotations

from typing import NoReturn

import typer

REFUSED = 1
"""The app refused, or it cannot run."""
INVALID = 2
"""The command, a setting or a file is invalid."""
UNREACHABLE = 3
"""Nothing answers at the app's address, or the app has ended."""
UNKNOWN = 4
"""There is no such server, connection or variant."""
NOT_ALLOWED = 5
"""The token is missing, wrong, or only for reading."""
CUT_OFF = 6
"""``term``: the connection was reset, or its server was stopped."""


def fail(message: str, code: int) -> NoReturn:
    print_error(message)
    raise typer.Exit(code)


def print_error(message: str) -> None:
    typer.echo(f"echodeck: {message}", err=True)
