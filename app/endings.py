"""How the program ends, for scripts: 0 done, and these."""

from __future__ import annotations

from typing import NoReturn

import typer

REFUSED = 1
"""The app said no, or it cannot run."""
SENSELESS = 2
"""The command, a setting or a file makes no sense."""
UNREACHABLE = 3
"""Nothing answers where the app should be."""
UNKNOWN = 4
"""There is no such server, connection or variant."""
NOT_ALLOWED = 5
"""The token is missing, wrong, or only for reading."""


def fail(message: str, code: int) -> NoReturn:
    typer.echo(f"echodeck: {message}", err=True)
    raise typer.Exit(code)
