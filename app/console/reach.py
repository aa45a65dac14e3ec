"""The app's address and token, for every command that is a client of the app; and the exit code after a refusal."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Protocol
from urllib.parse import urlsplit

import typer
from platformdirs import user_config_path

import echodeck
from app.console import figures
from app.console.tables import Line, encode_json, escape, print_answer
from app.program.exit_codes import INVALID, NOT_ALLOWED, REFUSED, UNKNOWN, UNREACHABLE, fail, print_error

DEFAULT_URL = "http://127.0.0.1:8000"

EXIT_CODES = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: UNKNOWN, 422: INVALID}
"""By HTTP status; every other refusal is REFUSED."""

NOT_WRITTEN = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT, errno.EBADF, errno.ENXIO})
"""Errors of an output that takes nothing more."""

NOT_BY_TOKEN = frozenset({"port-not-allowed", "host-not-allowed"})
"""Refusals with 403 that do not depend on the token."""


class Model(Protocol):
    """An ``echodeck.Shape``, or a model of pydantic."""

    def model_dump(self, *, mode: Literal["json"]) -> dict[str, Any]: ...


Answer = Model | Sequence[Model] | Sequence[str] | dict[str, Any]


class Configured(NamedTuple):
    """The fields of the config file."""

    url: str | None = None
    token: str | None = None


class Reach:
    """What a command is given: the client of the app, and the form of the answer."""

    def __init__(self, deck: echodeck.Client, as_json: bool) -> None:
        self.deck = deck
        self.as_json = as_json

    def answer(self, answer: Answer, text: str | list[Line]) -> None:
        """One JSON document on a line, or the text for a person."""
        if self.as_json:
            self.answer_json(answer)
        else:
            print_answer(text)

    def answer_json(self, answer: Answer) -> None:
        """One JSON document on a line, at once."""
        typer.echo(encode_json(answer))

    def hint(self, text: str) -> None:
        """A remark for a person, on stderr; left out with ``--json``."""
        if not self.as_json:
            typer.echo(escape(text), err=True)


Url = Annotated[
    str | None,
    typer.Option(
        envvar="ECHODECK_URL", show_envvar=False, help=f"The app's address; or ECHODECK_URL.  \\[{DEFAULT_URL}]"
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="ECHODECK_TOKEN", show_envvar=False, help="The app's token, if it needs one; or ECHODECK_TOKEN."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, one document a line.")]

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
    def asking(*, url: str | None, token: str | None, as_json: bool, **arguments: Any) -> None:
        if hasattr(sys.stdout, "reconfigure"):  # a letter that the terminal lacks is no failure
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with client(url, token) as deck:
                figures.tell_ages_by(deck.now)
                command(Reach(deck, as_json), **arguments)
            sys.stdout.flush()
        except echodeck.Refused as reason:
            fail(refusal_text(reason), exit_code(reason))
        except echodeck.Unreachable as reason:
            fail(escape(str(reason)), UNREACHABLE)
        except UnicodeError:
            fail("an argument is not UTF-8", INVALID)
        except OSError as error:
            if error.errno not in NOT_WRITTEN:
                fail(escape(f"{error.filename or 'the system'}: {error.strerror or error}"), REFUSED)
            _fail_output(error)

    asking.__doc__ = "\n\n".join(
        " ".join(part.split()) for part in inspect.cleandoc(command.__doc__ or "").split("\n\n")
    )
    asking.__signature__ = signature.replace(parameters=[*own, *_OPTIONS])  # type: ignore[attr-defined]
    return asking


def client(url: str | None, token: str | None, patience: float = echodeck.SECONDS_TO_ANSWER) -> echodeck.Client:
    """A client of the app that option, environment or config file name. Ends the program if they are invalid."""
    configured = Configured() if url and token else configuration()
    given = (token or configured.token or "").rstrip("\r\n")  # as a file ends
    if given and not echodeck.is_token(given):
        fail(f"--token, ECHODECK_TOKEN or the config file: {echodeck.NO_TOKEN}", INVALID)
    where = url or configured.url or DEFAULT_URL
    no_address = f"--url {_shown(where)} is no address of an app; one looks like {DEFAULT_URL}"
    try:
        parts = urlsplit(where)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            fail(no_address, INVALID)
    except ValueError:
        fail(no_address, INVALID)
    try:
        return echodeck.Client(where, given or None, patience)
    except UnicodeError:
        fail(no_address, INVALID)
    except ValueError as reason:
        fail(f"--url {_shown(where)}: {reason}", INVALID)


def exit_code(reason: echodeck.Refused) -> int:
    """The exit code after a refusal."""
    return REFUSED if reason.name in NOT_BY_TOKEN else EXIT_CODES.get(reason.status, REFUSED)


def refusal_text(reason: echodeck.Refused) -> str:
    if reason.name == "token-required":
        if reason.more.get("token_given"):
            return "that is not the app's token (--token, ECHODECK_TOKEN or the config file)"
        return "the app asks for its token: --token, or ECHODECK_TOKEN"
    return escape(reason.detail)


def _shown(url: str) -> str:
    """Without the password that may be in it."""
    return escape(re.sub(r"(?<=//)[^/]*@", "", url))


def configuration() -> Configured:
    """What the user's file says; nothing, if the user has none, or no folder where it could be read."""
    try:
        file = user_config_path("echodeck") / "config.toml"
    except RuntimeError:  # there is no home directory
        return Configured()
    try:
        text = file.read_bytes().decode("utf-8-sig")
        import tomllib  # few have the file

        fields = tomllib.loads(text)
        if unknown := fields.keys() - Configured._fields:
            fail(f"{file} cannot be used: there is no field {', '.join(sorted(unknown))}", INVALID)
        if wrong := [name for name, value in fields.items() if not isinstance(value, str)]:
            fail(f"{file} cannot be used: {', '.join(wrong)} must be text in quotes", INVALID)
        return Configured(**fields)
    except (FileNotFoundError, NotADirectoryError):
        return Configured()
    except OSError as reason:
        print_error(f"{file} is not read: {reason.strerror}")
        return Configured()
    except ValueError as reason:
        fail(f"{file} cannot be used: {reason}", INVALID)


def _fail_output(error: OSError) -> NoReturn:
    """The reader has closed the pipe, as ``| head`` does; or the output cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in a buffer
    if error.errno == errno.EPIPE:
        raise typer.Exit from None
    fail(f"the answer cannot be written: {error.strerror}", REFUSED)
