"""Servers and variants: to list, to start and stop."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import echodeck
from app.commands.figures import size, span
from app.commands.reach import Reach, asks
from app.commands.tables import table

cli = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="The server's name.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="The servers' names.")]


@cli.command()
@asks
def ls(reach: Reach) -> None:
    """List the servers."""
    servers = reach.deck.servers()
    reach.say(servers, server_table(servers) if servers else "No servers; echodeck start asyncio is one.")


def server_table(servers: list[echodeck.Server]) -> Any:
    return table(
        ("NAME", "VARIANT", "STATE", "SINCE", "ADDRESS", "OPEN", "WAITING", "IN", "OUT", "EXCEPTIONS", "LOOP"),
        (
            (
                one.name,
                one.variant,
                one.state,
                span(one.since),
                f"[{one.host}]:{one.port}" if ":" in one.host else f"{one.host}:{one.port}",
                str(one.connections.open),
                str(one.connections.waiting),
                size(one.bytes_in),
                size(one.bytes_out),
                str(one.exceptions),
                "-" if one.loop_share is None else f"{one.loop_share:.1%}",
            )
            for one in servers
        ),
        right=frozenset({"SINCE", "OPEN", "WAITING", "IN", "OUT", "EXCEPTIONS", "LOOP"}),
    )


@cli.command()
@asks
def variants(reach: Reach) -> None:
    """List the ways of serving that there are."""
    found = reach.deck.variants()
    rows = ((str(one.step or "-"), one.name, one.runs_on, one.title, one.lesson) for one in found)
    reach.say(found, table(("STEP", "NAME", "RUNS ON", "TITLE", "LESSON"), rows, right=frozenset({"STEP"})))


@cli.command()
@asks
def start(
    reach: Reach,
    variant: Annotated[str, typer.Argument(help="A variant, or the name of a server that is there already.")],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 picks a free one.  [0]")] = None,
    name: Annotated[str | None, typer.Option(help="Unique.  [the variant and the port]")] = None,
    host: Annotated[str | None, typer.Option(help="An address of the app's machine.  [127.0.0.1]")] = None,
    restart: Annotated[str | None, typer.Option(help="on-failure, always or never.  [on-failure]")] = None,
    backlog: Annotated[int | None, typer.Option(help="How many may wait unaccepted.  [128]")] = None,
    max_connections: Annotated[int | None, typer.Option(help="Further clients are closed at once.")] = None,
    idle_timeout: Annotated[float | None, typer.Option(help="Seconds until a silent client is hung up.")] = None,
    recv_size: Annotated[int | None, typer.Option(help="Most bytes taken by one recv.  [65536]")] = None,
    nodelay: Annotated[bool | None, typer.Option(help="Nagle's algorithm off.  [yes]")] = None,
    max_buffer: Annotated[int | None, typer.Option(help="Most bytes collected for one client.  [1048576]")] = None,
) -> None:
    """Create a server and start it, or start one that is there; return once it listens."""
    given = {key: value for key, value in locals().items() if key not in {"reach", "variant"} and value is not None}
    if not given and variant in {one.name for one in reach.deck.servers()}:
        server = reach.deck.start(variant)
    else:
        server = reach.deck.create(variant, **given)
    reach.say(server, f"{server.name} listens on {server.host}:{server.port}")


@cli.command()
@asks
def stop(
    reach: Reach,
    names: Names,
    drain: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds that open connections get to end by themselves.")
    ] = 0,
) -> None:
    """Stop servers; return when nothing of them runs."""
    for name in names:
        server = reach.deck.stop(name, drain)
        reach.say(server, f"{name} is {server.state}")


@cli.command()
@asks
def restart(reach: Reach, names: Names) -> None:
    """Stop servers and start them again."""
    for name in names:
        server = reach.deck.restart(name)
        reach.say(server, f"{name} listens on {server.host}:{server.port}")


@cli.command()
@asks
def rm(reach: Reach, names: Names) -> None:
    """Stop servers and forget them."""
    for name in names:
        reach.deck.remove(name)
        reach.say({"removed": name}, f"{name} was removed")
