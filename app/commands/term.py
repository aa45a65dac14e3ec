"""``echodeck term``: a connection to a server, like nc.

It uses the app's bridge: with the token it reaches the servers of an app on another machine, even where only the page
can be reached.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app.commands.servers import Name
from app.console.byte_formats import ByteFormat, HexDump, JsonLines, RawBytes, VisibleText
from app.console.reach import Reach, asks

cli = typer.Typer()


@cli.command()
@asks
def term(
    reach: Reach,
    name: Name,
    eof: Annotated[
        bool, typer.Option("--eof", "-N", help="When stdin ends, send FIN and read until the server closes.")
    ] = False,
    crlf: Annotated[bool, typer.Option("--crlf", "-C", help="Send each LF as CR LF.")] = False,
    hex: Annotated[  # noqa: A002
        bool, typer.Option("--hex", "-x", help="Show all bytes as a hex dump: > is sent, < is received.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Do not escape received control bytes on a terminal.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not report whether the connection waits or was accepted.")
    ] = False,
) -> None:
    """Connect to a server, like nc: stdin is sent to it, and its answers are written to stdout. Ctrl+C ends it.

    Bytes are not changed; only on a terminal, control bytes except newline and tab are shown as \\xNN. When stdin ends,
    the command reads on until the server closes, like nc; with --eof the server gets a FIN. --json prints all events,
    with the bytes in base64.

    Exit codes: 0 the server has closed, 1 the app refuses or the server does not run, 3 the app has ended, 4 there is
    no such server, 6 the server was stopped or reset the connection.
    """
    byte_format: ByteFormat
    if reach.as_json:
        byte_format = JsonLines()
    elif hex:
        byte_format = HexDump()
    else:
        byte_format = RawBytes() if raw or not sys.stdout.isatty() else VisibleText()
    from app.console.terminal_client import run_terminal  # slow to load: asyncio and WebSockets

    raise typer.Exit(run_terminal(reach.deck, name, byte_format, eof=eof, crlf=crlf, quiet=quiet or reach.as_json))
