"""``echodeck nodes``, ``drain`` and ``resume``: the nodes of a fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from app.console.figures import age, share
from app.console.reach import Reach, asks
from app.console.tables import table

cli = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NODE", help="The node's name.", show_default=False)]


@cli.command()
@asks
def nodes(reach: Reach) -> None:
    """List the nodes of the fleet."""
    found = reach.deck.nodes()
    rows = (
        (
            one.name,
            one.state,
            age(one.since) if one.since else "-",
            "-" if one.servers is None else str(one.servers),
            "-" if one.connections is None else str(one.connections),
            share(one.loop_share),
            "-" if one.lease_left is None else f"{one.lease_left:.1f} s",
            one.url,
            one.version,
        )
        for one in found
    )
    columns = ("NODE", "STATE", "SINCE", "SERVERS", "OPEN", "LOOP", "LEASE", "URL", "VERSION")
    right = frozenset({"SINCE", "SERVERS", "OPEN", "LOOP", "LEASE"})
    reach.answer(found, table(columns, rows, right=right, gives_way=("VERSION", "URL", "LEASE")))
    if not found:
        reach.hint("This app is no node of a fleet; `echodeck serve --fleet` makes it one.")


@cli.command()
@asks
def drain(reach: Reach, node: Name) -> None:
    """Have a node give its floating servers to others, and take no more."""
    one = reach.deck.drain(node)
    reach.answer(one, f"{one.name} gives its servers away; {one.servers or 0} are pinned to it.")


@cli.command()
@asks
def resume(reach: Reach, node: Name) -> None:
    """Have a node take servers again."""
    one = reach.deck.resume(node)
    reach.answer(one, f"{one.name} takes servers again.")
