"""``echodeck serve``: the app itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app.console.reach import AsJson
from app.program.exit_codes import INVALID
from app.settings import Settings

cli = typer.Typer()


@cli.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="The page's address.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The page's port; 0 picks a free one.  [8000]")] = None,
    state: Annotated[str | None, typer.Option(help="The file that keeps the state; `:memory:` for none.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A file (TOML) that declares servers; SIGHUP reads it again.")
    ] = None,
    ports: Annotated[str | None, typer.Option(help="The ports that servers may use.  [1024-65535]")] = None,
    loop: Annotated[str | None, typer.Option(help="The event loop: asyncio or uvloop.  [asyncio]")] = None,
    streams: Annotated[int | None, typer.Option(help="Feeds and taps that may be read at once.  [100]")] = None,
    terminals: Annotated[int | None, typer.Option(help="Terminals that may be open at once.  [1000]")] = None,
    journal_entries: Annotated[int | None, typer.Option(help="Events that are kept.  [10000]")] = None,
    journal_exceptions: Annotated[int | None, typer.Option(help="Exceptions that are kept.  [1000]")] = None,
    journal_days: Annotated[float | None, typer.Option(help="Days for which both are kept.  [30]")] = None,
    trust_network: Annotated[
        bool | None,
        typer.Option("--trust-network", help="Everybody who reaches this machine may use the page without a token."),
    ] = None,
    allowed_hosts: Annotated[str | None, typer.Option(help="More host names of the page, separated by commas.")] = None,
    quiet: Annotated[
        bool | None,
        typer.Option(
            "--quiet", "-q", help="Keep the exceptions and messages of servers out of the log; the page has them."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the app and its page. Ctrl+C ends the app; a second one ends it at once.

    Each option can be set in the environment too, as ECHODECK_PORT and so on. With ECHODECK_TOKEN everybody needs this
    token; ECHODECK_VIEWER_TOKEN is a token that reads only.
    """
    options = {name: value for name, value in locals().items() if value is not None and name != "as_json"}
    settings = _settings(options)
    from app.program.launch import launch  # imports the whole app, which is slow; no other command needs it

    launch(settings, as_json)


def _settings(options: dict[str, Any]) -> Settings:
    try:
        return Settings(**options)
    except ValidationError as error:
        for one in error.errors():
            name = ".".join(str(part) for part in one["loc"])
            where = f"--{name.replace('_', '-')}" if name in options else f"ECHODECK_{name.upper()}" if name else ""
            message = one["msg"].removeprefix("Value error, ")
            typer.echo(": ".join(filter(None, ("echodeck", where, message))), err=True)
        raise typer.Exit(INVALID) from None
