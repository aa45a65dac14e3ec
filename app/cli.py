"""The program ``echodeck``."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import os
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app import __version__
from app.adoption import is_news
from app.main import create_app
from app.security import is_loopback
from app.serving import CannotServe, run_to_the_end, serve
from app.settings import Settings
from app.store import StateUnusable

cli = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="A supervisor for TCP echo servers, run from a web page."
)


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


@cli.command("serve")
def serve_command(
    host: Annotated[str | None, typer.Option(help="Where the page listens.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The page's port; 0 picks a free one.  [8000]")] = None,
    state: Annotated[
        str | None, typer.Option(help="The file that remembers what should run; `:memory:` for none.")
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
        typer.Option("--trust-network", help="Whoever can reach this machine may use the page, without a token."),
    ] = None,
    allowed_hosts: Annotated[
        str | None, typer.Option(help="Further host names by which the page may be called, with commas between.")
    ] = None,
) -> None:
    """Start the app and its page. Ctrl+C ends it, a second one at once.

    Each option can be set in the environment too, as ECHODECK_PORT and so on. ECHODECK_TOKEN asks everybody for that
    token, ECHODECK_VIEWER_TOKEN is one that reads only.
    """
    options = {name: value for name, value in locals().items() if value is not None}
    settings = _settings(options)
    if not is_loopback(settings.host) and not settings.beyond_loopback:
        _fail(
            f"--host {settings.host} can be reached from outside. Set a token in ECHODECK_TOKEN, or say "
            "--trust-network if everybody who can reach this machine may start and stop servers on it."
        )
    logging.config.dictConfig(LOGGING)
    with asyncio.Runner(loop_factory=_loop_factory(settings.loop)) as runner:
        try:
            left = run_to_the_end(
                runner.get_loop(), serve(create_app(settings), settings, lambda url: _announce(url, settings))
            )
            if left:  # closing the loop would wait for them for ever
                logging.getLogger("echodeck").error("ends without waiting for %s", ", ".join(left))
                logging.shutdown()
                os._exit(0)
        except (CannotServe, StateUnusable) as reason:
            _fail(str(reason), code=1)
        except OSError as error:
            _fail(
                f"the state cannot be kept in {settings.state}: {error.strerror}; choose another file with --state",
                code=1,
            )


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"news": {"()": lambda: is_news}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["news"]}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {"uvicorn": {"level": "WARNING"}},
}


def _settings(options: dict[str, Any]) -> Settings:
    try:
        return Settings(**options)
    except ValidationError as error:
        for one in error.errors():
            name = ".".join(str(part) for part in one["loc"])
            where = f"--{name.replace('_', '-')}" if name in options else f"ECHODECK_{name.upper()}" if name else ""
            message = one["msg"].removeprefix("Value error, ")
            typer.echo(": ".join(filter(None, ("echodeck", where, message))), err=True)
        raise typer.Exit(2) from None


def _loop_factory(name: str) -> Any:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return None


def _announce(url: str, settings: Settings) -> None:
    kept = f"is kept in {settings.state_path}" if settings.state_path else "is forgotten when it ends"
    typer.echo(f"Echodeck is at {url}\nIts state {kept}.\nCtrl+C ends it.")


def _fail(message: str, code: int = 2) -> None:
    typer.echo(f"echodeck: {message}", err=True)
    raise typer.Exit(code)


def main() -> None:
    cli(prog_name="echodeck")
