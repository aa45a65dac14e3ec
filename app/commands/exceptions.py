"""``echodeck exceptions``: the exceptions of servers, the newest last."""

from __future__ import annotations

import time
from typing import Annotated

import typer

import echodeck
from app.commands.clients import OfServer
from app.console import completing
from app.console.reach import Reach, asks, refusal_text
from app.console.tables import escape, escape_line
from app.program.exit_codes import INVALID, fail, print_error

LINES_BEFORE = 10
"""Exceptions that ``--follow`` prints before the new ones."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two attempts to reach an app that has ended; each pause is twice the one before."""

MOST_REMEMBERED = 5000


@asks
def exceptions(
    reach: Reach,
    server: OfServer = None,
    type: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--type",
            "-t",
            metavar="TYPE",
            help="Only exceptions of this type, such as ValueError.",
            autocompletion=completing.exception_types,
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            "-g",
            metavar="TEXT",
            help="Only exceptions with this text in type, message, peer, input or server; case is ignored.",
        ),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", metavar="N", min=0, help=f"Only the latest N.  \\[all; {LINES_BEFORE} with --follow]"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl+C.")] = False,
    full: Annotated[bool, typer.Option("--full", help="With the traceback and the bytes that caused it.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Forget all exceptions, or those of --server.")] = False,
) -> None:
    """Show the exceptions of servers, the newest last. Equal ones of one run are one line with their number.

    Times are local; with --json they are in UTC. --follow goes on after a restart of the app.
    """
    if forget:
        if type or search or follow or lines is not None:
            fail("--forget goes with --server only", INVALID)
        reach.deck.forget_exceptions(server)
        whose = f"of {server} " if server else ""
        reach.answer({"forgotten": server or "all"}, f"the exceptions {whose}are forgotten")
        return
    found = reach.deck.exceptions(server, type=type, q=search)[::-1]
    if lines is None and follow:
        lines = LINES_BEFORE
    selected = found if lines is None else found[len(found) - min(lines, len(found)) :]
    if not follow:
        reach.answer(selected, "\n".join(format_exception(one, full) for one in selected))
        if not selected:
            reach.hint("No exceptions.")
        return
    for one in selected:
        reach.answer(one, format_exception(one, full))
    ExceptionFollower(reach, server, type, search, full, found).run()


def format_exception(one: echodeck.Raised, full: bool) -> str:
    """One line; ``full``: with peer, input and traceback, too."""
    at = f"{one.at.astimezone():%Y-%m-%d %H:%M:%S}"
    whose = f"{one.server} {one.connection}" if one.connection else one.server
    summary = f"{at} {whose} {one.type}: {one.message}" if one.message else f"{at} {whose} {one.type}"
    extra = [*([f"x{one.count}"] if one.count > 1 else []), *(["the server died of it"] if one.fatal else [])]
    parts = [escape_line(summary) + (f" ({', '.join(extra)})" if extra else "")]
    if full:
        if one.peer:
            parts.append(f"  peer {escape_line(one.peer)}")
        if one.input is not None:
            parts.append(f"  input {escape_line(one.input)}")
        parts += [f"  {escape(row)}" for row in one.traceback.rstrip("\n").split("\n")]
    return "\n".join(parts)


class ExceptionFollower:
    """Prints new exceptions from the feed, each version once, even if the app restarts meanwhile."""

    def __init__(
        self,
        reach: Reach,
        server: str | None,
        type: str | None,  # noqa: A002
        search: str | None,
        full: bool,
        known: list[echodeck.Raised],
    ) -> None:
        self._reach = reach
        self._server = server
        self._type = type
        self._search = search
        self._full = full
        self._known = {one.id: _version(one) for one in known}

    def run(self) -> None:
        """Run for ever.

        Raises:
            Refused: the app runs, but refuses the token, or no longer knows the server.
        """
        pause, away = FIRST_PAUSE, False
        while True:
            try:
                for news in self._reach.deck.events(**self._parameters()):
                    if away:
                        print_error(f"{self._reach.deck.url} answers again")
                    pause, away = FIRST_PAUSE, False
                    self._handle(news)
                reason = f"{self._reach.deck.url} has ended"
            except echodeck.Unreachable as error:
                reason = str(error)
            except echodeck.Refused as refused:
                if refused.status != 503:
                    raise
                reason = refusal_text(refused)
            if not away:
                print_error(f"{escape(reason)}; trying again")
            away = True
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _parameters(self) -> dict[str, str]:
        return {"topics": "exceptions", **({"server": self._server} if self._server else {})}

    def _handle(self, news: echodeck.News) -> None:
        if news.kind == "snapshot":
            for item in news.data["exceptions"]:
                self._print_if_new(echodeck.Raised.model_validate(item))
        elif news.kind == "exception":
            self._print_if_new(echodeck.Raised.model_validate(news.data))

    def _print_if_new(self, one: echodeck.Raised) -> None:
        if self._known.get(one.id) == _version(one):
            return
        self._known[one.id] = _version(one)
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        if self._fits(one):
            self._reach.answer(one, format_exception(one, self._full))

    def _fits(self, one: echodeck.Raised) -> bool:
        """The same filter as ``type`` and ``q`` of ``GET /exceptions``."""
        fields = (one.type, one.message, one.peer or "", one.input or "b''", one.server)
        search = (self._search or "").lower()
        return self._type in (None, one.type) and any(search in part.lower() for part in fields)


def _version(one: echodeck.Raised) -> object:
    """Differs when there is something new to print; ids begin again in an app without a state file."""
    return one.at, one.count, one.fatal
