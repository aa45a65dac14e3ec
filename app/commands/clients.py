"""``echodeck connections``, ``hangup`` and ``term``: the connections of servers, and one of one's own.

``term`` uses the app's bridge: with the token it reaches the servers of an app on another machine, even where only the
page can be reached.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import echodeck
from app.commands.servers import Name
from app.console import completing
from app.console.byte_formats import ByteFormat, HexDump, JsonLines, RawBytes, VisibleText
from app.console.figures import age, idle, rtt, size
from app.console.live import View, keep_looking
from app.console.many import to_each
from app.console.reach import Answer, Reach, asks
from app.console.tables import Line, height, table

OfServer = Annotated[
    str | None,
    typer.Option(
        "--server", "-s", metavar="NAME", help="Only those of this server.", autocompletion=completing.servers
    ),
]
Interval = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Seconds between two updates.")]


@asks
def connections(
    reach: Reach,
    server: OfServer = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update the list until q or Ctrl+C.")] = False,
    interval: Interval = 1.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Ids only, one a line.")] = False,
) -> None:
    """List the open connections, and the clients that wait in a server's accept queue.

    UNREAD is the number of bytes that the server has not read, IDLE the time since the last byte in either direction,
    RTT the round-trip time. A narrow terminal gets fewer columns, a pipe all of them.
    """
    if watch:
        keep_looking(reach, ConnectionsView(server), interval)
        return
    found = reach.deck.connections(server)
    if quiet:
        reach.answer([one.id for one in found], "\n".join(one.id for one in found))
        return
    reach.answer(found, connection_table(found, of_all=server is None))
    if not found:
        reach.hint("Nobody is connected.")


@asks
def hangup(
    reach: Reach,
    ids: Annotated[
        list[str],
        typer.Argument(metavar="ID...", help="Ids from `echodeck connections`.", autocompletion=completing.connections),
    ],
) -> None:
    """Hang up connections. A client that still waits to be accepted cannot be hung up."""

    def do(id: str) -> None:
        reach.deck.hang_up(id)
        reach.answer({"hung_up": id}, f"{id} was hung up")

    to_each(ids, do, "hanging up")


def connection_table(found: list[echodeck.Connection], of_all: bool) -> list[Line]:
    rows = (
        (
            one.id,
            one.server,
            one.peer,
            one.state,
            age(one.since),
            size(one.bytes_in),
            size(one.bytes_out),
            size(one.unread),
            idle(one.idle),
            rtt(one.rtt_us),
        )
        for one in found
    )
    return table(
        ("ID", "SERVER", "PEER", "STATE", "SINCE", "IN", "OUT", "UNREAD", "IDLE", "RTT"),
        rows,
        right=frozenset({"SINCE", "IN", "OUT", "UNREAD", "IDLE", "RTT"}),
        gives_way=("RTT", "OUT", "SINCE", "UNREAD", "IDLE", "PEER") if of_all else ("SERVER", "RTT", "OUT", "SINCE"),
    )


class ConnectionsView(View[list[echodeck.Connection]]):
    def __init__(self, server: str | None) -> None:
        self._server = server

    def look(self, deck: echodeck.Client) -> list[echodeck.Connection]:
        return deck.connections(self._server)

    def to_json(self, found: list[echodeck.Connection]) -> Answer:
        return found

    def to_lines(self, found: list[echodeck.Connection]) -> list[Line]:
        if not found:
            return [Line("Nobody is connected.")]
        most = max(1, height() - 3)
        more = [Line(f"... and {len(found) - most} more")] if len(found) > most else []
        return [*connection_table(found[:most], of_all=self._server is None), *more]


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
