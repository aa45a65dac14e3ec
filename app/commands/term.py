"""``echodeck term``: a connection to a server, as nc would have it.

It goes through the app's bridge, so that it reaches the servers of an app on another machine, with its token, where
nothing but the page can be reached.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app.commands.servers import Name
from app.console.reach import Reach, asks
from app.console.showing import Hex, Lines, Shower, Untouched, Visible

cli = typer.Typer()


@cli.command()
@asks
def term(
    reach: Reach,
    name: Name,
    eof: Annotated[
        bool, typer.Option("--eof", "-N", help="Send FIN when stdin ends, and go on reading until the server ends.")
    ] = False,
    crlf: Annotated[bool, typer.Option("--crlf", "-C", help="Send each LF as CR LF.")] = False,
    hex: Annotated[  # noqa: A002
        bool, typer.Option("--hex", "-x", help="Show all bytes as a hex dump: > was sent, < was received.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Let the terminal obey control bytes that come.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not say whether it waits or was accepted.")] = False,
) -> None:
    """Talk to a server, like nc: stdin goes to it, what it sends comes to stdout. Ctrl+C ends it.

    Bytes are not touched; only on a terminal, control bytes but newline and tab are shown as \\xNN. When stdin ends it
    goes on reading, as nc does, until the server ends; with --eof the server is told. --json has all that happens, with
    the bytes in base64.

    It ends with 0 when the server has ended, 1 if the app refuses or the server does not run, 3 if the app went away, 4
    if there is no such server, 6 if the server was stopped or reset the connection.
    """
    shower: Shower
    if reach.as_json:
        shower = Lines()
    elif hex:
        shower = Hex()
    else:
        shower = Untouched() if raw or not sys.stdout.isatty() else Visible()
    from app.console.talking import talk  # with asyncio and WebSockets, which no other command should wait for

    raise typer.Exit(talk(reach.deck, name, shower, eof=eof, crlf=crlf, quiet=quiet or reach.as_json))
