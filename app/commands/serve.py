"""``echodeck serve``: the app itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app.console.reach import AsJson
from app.program.exit_codes import SENSELESS
from app.settings import Settings

cli = typer.Typer()


@cli.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Where the page listens.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The page's port; 0 picks a free one.  [8000]")] = None,
    state: Annotated[
        str | None, typer.Option(help="The file that remembers what should run; `:memory:` for none.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A file (TOML) that declares servers; on SIGHUP it is read again.")
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
        typer.Option("--trust-network", help="Everybody who can reach this machine may use the page, without a token."),
    ] = None,
    allowed_hosts: Annotated[
        str | None, typer.Option(help="Further host names by which the page may be called, with commas between.")
    ] = None,
    quiet: Annotated[
        bool | None,
        typer.Option("--quiet", "-q", help="Leave out of the log what servers raise and say; the page has it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the app and its page. Ctrl+C ends it, a second one at once.

    Each option can be set in the environment too, as ECHODECK_PORT and so on. ECHODECK_TOKEN asks everybody for that
    token, ECHODECK_VIEWER_TOKEN is one that reads only.
    """
    options = {name: value for name, value in locals().items() if value is not None and name != "as_json"}
    settings = _settings(options)
    from app.program.launch import launch  # all that the app is made of, which no other command should wait for

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
        raise typer.Exit(SENSELESS) from None
