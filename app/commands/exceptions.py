"""What servers raised, as a log: the newest last."""

from __future__ import annotations

import time
from typing import Annotated

import typer

import echodeck
from app.commands.clients import OfServer
from app.console import completing
from app.console.reach import Reach, asks, why
from app.console.tables import line, plain
from app.program.exit_codes import SENSELESS, complain, fail

cli = typer.Typer()

LINES_BEFORE = 10
"""Exceptions that are shown before those to come."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two tries to reach an app that went away; each pause is twice the one before."""

MOST_REMEMBERED = 5000


@cli.command()
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
            help="Only those of this type, such as ValueError.",
            autocompletion=completing.exception_types,
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            "-g",
            metavar="TEXT",
            help="Only those with this text, in whatever case, in type, message, peer, input or server.",
        ),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", metavar="N", min=0, help=f"Only the latest N.  \\[all; {LINES_BEFORE} with --follow]"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come, until Ctrl+C.")] = False,
    full: Annotated[bool, typer.Option("--full", help="With traceback, and the bytes that caused it.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Forget them: all, or those of --server.")] = False,
) -> None:
    """Show what servers raised: the newest last, equal ones of one run together with their number.

    Times are local; with --json they are UTC. --follow outlives a restart of the app.
    """
    if forget:
        if type or search or follow or lines is not None:
            fail("--forget goes with --server only", SENSELESS)
        reach.deck.forget_exceptions(server)
        whose = f"of {server} " if server else ""
        reach.say({"forgotten": server or "all"}, f"the exceptions {whose}are forgotten")
        return
    found = reach.deck.exceptions(server, type=type, q=search)[::-1]
    if lines is None and follow:
        lines = LINES_BEFORE
    shown = found if lines is None else found[len(found) - min(lines, len(found)) :]
    if not follow:
        reach.say(shown, "\n".join(text(one, full) for one in shown))
        if not shown:
            reach.hint("No exceptions.")
        return
    for one in shown:
        reach.say(one, text(one, full))
    Following(reach, server, type, search, full, found).go_on()


def text(one: echodeck.Raised, full: bool) -> str:
    """A line, or with all that is known."""
    at = f"{one.at.astimezone():%Y-%m-%d %H:%M:%S}"
    whose = f"{one.server} {one.connection}" if one.connection else one.server
    said = f"{at} {whose} {one.type}: {one.message}" if one.message else f"{at} {whose} {one.type}"
    extra = [*([f"x{one.count}"] if one.count > 1 else []), *(["the server died of it"] if one.fatal else [])]
    parts = [line(said) + (f" ({', '.join(extra)})" if extra else "")]
    if full:
        if one.peer:
            parts.append(f"  peer {line(one.peer)}")
        if one.input is not None:
            parts.append(f"  input {line(one.input)}")
        parts += [f"  {plain(row)}" for row in one.traceback.rstrip("\n").split("\n")]
    return "\n".join(parts)


class Following:
    """Tells what comes, and nothing twice, whatever the app does meanwhile."""

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

    def go_on(self) -> None:
        """For ever.

        Raises:
            Refused: the app is there, but no longer takes the token, or no longer knows the server.
        """
        pause, away = FIRST_PAUSE, False
        while True:
            try:
                for news in self._reach.deck.events(**self._parameters()):
                    if away:
                        complain(f"{self._reach.deck.url} answers again")
                    pause, away = FIRST_PAUSE, False
                    self._hear(news)
                reason = f"{self._reach.deck.url} has ended"
            except echodeck.Unreachable as error:
                reason = str(error)
            except echodeck.Refused as refused:
                if refused.status != 503:
                    raise
                reason = why(refused)
            if not away:
                complain(f"{plain(reason)}; trying again")
            away = True
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _parameters(self) -> dict[str, str]:
        return {"topics": "exceptions", **({"server": self._server} if self._server else {})}

    def _hear(self, news: echodeck.News) -> None:
        if news.kind == "snapshot":
            for told in news.data["exceptions"]:
                self._consider(echodeck.Raised.model_validate(told))
        elif news.kind == "exception":
            self._consider(echodeck.Raised.model_validate(news.data))

    def _consider(self, one: echodeck.Raised) -> None:
        if self._known.get(one.id) == _version(one):
            return
        self._known[one.id] = _version(one)
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        if self._fits(one):
            self._reach.say(one, text(one, self._full))

    def _fits(self, one: echodeck.Raised) -> bool:
        """As ``GET /exceptions`` would have it with ``type`` and ``q``."""
        told = (one.type, one.message, one.peer or "", one.input or "b''", one.server)
        search = (self._search or "").lower()
        return self._type in (None, one.type) and any(search in part.lower() for part in told)


def _version(one: echodeck.Raised) -> object:
    """Differs when there is something to tell; ids begin anew in an app that remembers nothing."""
    return one.at, one.count, one.fatal
