"""The app as this process: its log, its loop, and its errors at the start."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import os
from typing import Any

import typer

from app.declaring.declared import Undeclarable
from app.history.state_file import StateUnusable
from app.loop.ownership import is_news, is_the_apps
from app.loop.runner import loop_factory, run_to_the_end
from app.program.app import CertificatesUnusable, create_app
from app.program.exit_codes import INVALID, REFUSED, fail
from app.program.outlet import Outlets, for_journal, is_journal, unblocked
from app.program.serving import CannotServe, serve
from app.program.starter import AlreadyEnded, end_with
from app.settings import Settings
from app.web.security import is_loopback


def launch(settings: Settings, as_json: bool) -> None:
    """Serve until a signal arrives; stdout gets a text for people, or one line of JSON."""
    with unblocked() as outlets:
        _launch(settings, as_json, outlets)


def _launch(settings: Settings, as_json: bool, outlets: Outlets) -> None:
    if not is_loopback(settings.host) and not settings.beyond_loopback:
        fail(
            f"--host {settings.host} can be reached from outside. Set a token in ECHODECK_TOKEN, or use "
            "--trust-network if everybody who can reach this machine may start and stop servers on it.",
            INVALID,
        )
    try:
        app = create_app(settings, lambda: outlets.dropped, for_people=not as_json)
        app.state.upkeep.read()
    except Undeclarable as reason:
        for line in reason.errors:
            typer.echo(f"echodeck: {line}", err=True)
        raise typer.Exit(INVALID) from None
    except CertificatesUnusable as reason:
        fail(str(reason), INVALID)
    logging.config.dictConfig(LOGGING | ({"formatters": {"line": {"()": JournalFormatter}}} if is_journal(2) else {}))
    if settings.quiet:
        for handler in logging.getLogger().handlers:
            handler.addFilter(is_the_apps)
    try:
        if settings.ends_with is not None:
            end_with(settings.ends_with)
        with asyncio.Runner(loop_factory=loop_factory(settings.loop)) as runner:
            left = run_to_the_end(
                runner.get_loop(), serve(app, settings, lambda url: _print_address(url, settings, as_json))
            )
            if left:  # to close the loop would wait for them for ever
                logging.getLogger("echodeck").error("ends without waiting for %s", ", ".join(left))
                outlets.drain()
                os._exit(0)
    except (AlreadyEnded, CannotServe, StateUnusable) as reason:
        fail(str(reason), REFUSED)


class JournalFormatter(logging.Formatter):
    """Without the time, which the journal adds."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return for_journal(super().format(record), record.levelno)


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"news": {"()": lambda: is_news}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["news"]}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {"uvicorn": {"level": "WARNING"}, "httpx": {"level": "WARNING"}},
}


def _print_address(url: str, settings: Settings, as_json: bool) -> None:
    path = settings.state_path
    if as_json:
        typer.echo(json.dumps({"url": url, "state": str(path) if path else None}))
    else:
        kept = f"is kept in {path}" if path else "is forgotten when it ends"
        typer.echo(f"Echodeck is at {url}\nIts state {kept}.\nCtrl+C ends it.")
