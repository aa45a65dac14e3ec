"""The program ``echodeck``, assembled from the commands in ``app/commands``."""

from __future__ import annotations

from typing import Annotated

import typer

from app import __version__
from app.commands import clients, declare, demo, exceptions, glass, lab, serve, servers, starting, top

cli = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="A supervisor for TCP echo servers, run from a web page."
)
for module in (serve, starting, servers, clients, exceptions, glass, top, lab, declare, demo):
    cli.add_typer(module.cli)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"echodeck {__version__}")
        raise typer.Exit


@cli.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    cli(prog_name="echodeck")
