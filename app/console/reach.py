"""Where the app is and with which token, for every command that asks it; and how the command ends if it refuses."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import httpx
import typer
from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.table import Table

import echodeck
from app.console.tables import document, plain, show
from app.program.exit_codes import NOT_ALLOWED, REFUSED, SENSELESS, UNKNOWN, UNREACHABLE, fail

CONFIG = user_config_path("echodeck") / "config.toml"
DEFAULT_URL = "http://127.0.0.1:8000"

CODES = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: UNKNOWN, 422: SENSELESS}
"""By HTTP status; every other refusal is REFUSED."""

NOT_BY_TOKEN = frozenset({"port-not-allowed", "host-not-allowed"})
"""Refusals with 403 that no other token would change."""


Told = BaseModel | Sequence[BaseModel] | Sequence[str] | dict[str, Any]


class Configured(BaseModel):
    """What the config file may say."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = None
    token: str | None = None


class Reach:
    """What a command has in hand: the app, and how to answer."""

    def __init__(self, deck: echodeck.Client, as_json: bool) -> None:
        self.deck = deck
        self.as_json = as_json

    def say(self, told: Told, text: str | Table) -> None:
        """One JSON document on a line, or what a person reads."""
        if self.as_json:
            self.tell(told)
        else:
            show(text)

    def tell(self, told: Told) -> None:
        """One JSON document on a line, at once."""
        typer.echo(document(told))

    def hint(self, text: str) -> None:
        """For a person, beside the answer; programs that read the answer are not bothered."""
        if not self.as_json:
            typer.echo(plain(text), err=True)


Url = Annotated[
    str | None,
    typer.Option(
        envvar="ECHODECK_URL", show_envvar=False, help=f"Where the app is; or ECHODECK_URL.  \\[{DEFAULT_URL}]"
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="ECHODECK_TOKEN", show_envvar=False, help="The app's token, if it asks for one; or ECHODECK_TOKEN."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, a document a line.")]

_OPTIONS = [
    inspect.Parameter("url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Url),
    inspect.Parameter("token", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Token),
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
]


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is a ``Reach`` gets the options ``--url``, ``--token`` and ``--json`` for it."""
    signature = inspect.signature(command, eval_str=True)
    _, *own = signature.parameters.values()

    @functools.wraps(command)
    def asking(*, url: str | None, token: str | None, as_json: bool, **given: Any) -> None:
        if hasattr(sys.stdout, "reconfigure"):  # letters that the terminal has not are no reason to fail
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with reached(url, token) as deck:
                command(Reach(deck, as_json), **given)
            sys.stdout.flush()
        except echodeck.Refused as reason:
            fail(why(reason), code(reason))
        except echodeck.Unreachable as reason:
            fail(plain(str(reason)), UNREACHABLE)
        except UnicodeError:
            fail("an argument is not UTF-8", SENSELESS)
        except OSError as error:
            _give_up_output(error)

    asking.__doc__ = "\n\n".join(
        " ".join(part.split()) for part in inspect.cleandoc(command.__doc__ or "").split("\n\n")
    )
    asking.__signature__ = signature.replace(parameters=[*own, *_OPTIONS])  # type: ignore[attr-defined]
    return asking


def reached(url: str | None, token: str | None, patience: float = echodeck.SECONDS_TO_ANSWER) -> echodeck.Client:
    """The app that is meant, by option, environment or config file. Ends the program if that is invalid."""
    configured = configuration()
    shown = token or configured.token
    if shown and not (shown.isascii() and shown.isprintable()):
        fail("--token has letters that no token has", SENSELESS)
    where = url or configured.url or DEFAULT_URL
    no_address = f"--url {plain(where)} is no address of an app; one looks like {DEFAULT_URL}"
    try:
        parts = urlsplit(where)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            fail(no_address, SENSELESS)
        return echodeck.Client(where, shown, patience)
    except (httpx.InvalidURL, ValueError):
        fail(no_address, SENSELESS)


def code(reason: echodeck.Refused) -> int:
    """With which the program ends."""
    return REFUSED if reason.name in NOT_BY_TOKEN else CODES.get(reason.status, REFUSED)


def why(reason: echodeck.Refused) -> str:
    if reason.name == "token-required":
        if reason.more.get("token_given"):
            return "that is not the app's token (--token, ECHODECK_TOKEN or the config file)"
        return "the app asks for its token: --token, or ECHODECK_TOKEN"
    return plain(reason.detail)


def configuration() -> Configured:
    try:
        return Configured.model_validate(tomllib.loads(CONFIG.read_text()))
    except FileNotFoundError:
        return Configured()
    except ValidationError as reason:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in reason.errors())
        fail(f"{CONFIG} cannot be used: {wrong}", SENSELESS)
    except (OSError, ValueError) as reason:
        fail(f"{CONFIG} cannot be used: {reason}", SENSELESS)


def _give_up_output(error: OSError) -> NoReturn:
    """The reader has enough, as with ``| head``; or the output cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in a buffer
    if error.errno == errno.EPIPE:
        raise typer.Exit from None
    fail(f"the answer cannot be written: {error.strerror}", REFUSED)
