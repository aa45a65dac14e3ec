"""Where the app is and who asks, for every command that asks it; and how the command ends if it says no."""

from __future__ import annotations

import functools
import inspect
import json
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer
from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.table import Table

import echodeck
from app.commands.tables import plain, show
from app.endings import NOT_ALLOWED, REFUSED, SENSELESS, UNKNOWN, UNREACHABLE, fail

CONFIG = user_config_path("echodeck") / "config.toml"


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

    def say(self, told: BaseModel | Sequence[BaseModel] | dict[str, Any], text: str | Table) -> None:
        """One JSON document, or what a person reads."""
        if self.as_json:
            typer.echo(json.dumps(_dumped(told), ensure_ascii=False))
        else:
            show(text)


def _dumped(told: Any) -> Any:
    if isinstance(told, BaseModel):
        return told.model_dump(mode="json")
    return [_dumped(one) for one in told] if isinstance(told, Sequence) and not isinstance(told, str) else told


Url = Annotated[str | None, typer.Option(envvar="ECHODECK_URL", help="Where the app is.  [http://127.0.0.1:8000]")]
Token = Annotated[str | None, typer.Option(envvar="ECHODECK_TOKEN", help="The app's token, if it asks for one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]

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
        configured = _configured()
        where = url or configured.url or "http://127.0.0.1:8000"
        if not where.startswith(("http://", "https://")):
            fail(f"--url {where} is no address of an app; one looks like http://127.0.0.1:8000", SENSELESS)
        try:
            with echodeck.Client(where, token or configured.token) as deck:
                command(Reach(deck, as_json), **given)
        except echodeck.Refused as reason:
            code = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: UNKNOWN}.get(reason.status, REFUSED)
            fail(plain(reason.detail), code)
        except echodeck.Unreachable as reason:
            fail(str(reason), UNREACHABLE)
        except BrokenPipeError:  # as with `| head`
            with suppress(OSError):
                sys.stdout.close()
            raise typer.Exit from None

    asking.__signature__ = signature.replace(parameters=[*own, *_OPTIONS])  # type: ignore[attr-defined]
    return asking


def _configured() -> Configured:
    try:
        return Configured.model_validate(tomllib.loads(CONFIG.read_text()))
    except FileNotFoundError:
        return Configured()
    except (OSError, ValueError, ValidationError) as reason:
        fail(f"{CONFIG} cannot be used: {reason}", SENSELESS)
