"""``echodeck connections`` and ``echodeck hangup``: the connections of servers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

import echodeck
from app.console import completing
from app.console.figures import age, idle, rtt, size
from app.console.live import View, keep_looking
from app.console.many import to_each
from app.console.reach import Answer, Reach, asks
from app.console.tables import out, table, to_terminal

cli = typer.Typer()

OfServer = Annotated[
    str | None,
    typer.Option(
        "--server", "-s", metavar="NAME", help="Only those of this server.", autocompletion=completing.servers
    ),
]
Interval = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Seconds between two updates.")]


@cli.command()
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


@cli.command()
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


def connection_table(found: list[echodeck.Connection], of_all: bool) -> Table:
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

    def to_parts(self, found: list[echodeck.Connection]) -> list[Text | Table]:
        if not found:
            return [Text("Nobody is connected.")]
        most = max(1, out.height - 3) if to_terminal() else len(found)
        parts: list[Text | Table] = [connection_table(found[:most], of_all=self._server is None)]
        if len(found) > most:
            parts.append(Text(f"... and {len(found) - most} more"))
        return parts
