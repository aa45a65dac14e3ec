"""To start a server, and to change one: what it is told to be."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated, Any

import typer

import echodeck
from app.commands.servers import Name, address
from app.console import completing
from app.console.reach import Reach, asks
from app.program.exit_codes import INVALID, fail

cli = typer.Typer()

Port = Annotated[int | None, typer.Option(help="The port; 0 picks a free one.", show_default=False)]
Host = Annotated[str | None, typer.Option(help="An address or name of the app's machine.", show_default=False)]
Restart = Annotated[
    str | None,
    typer.Option(
        help="When to run again after an end nobody asked for: on-failure, always or never.",
        autocompletion=lambda: ["on-failure", "always", "never"],
        show_default=False,
    ),
]
Backlog = Annotated[int | None, typer.Option(help="How many clients may wait unaccepted.", show_default=False)]
RecvSize = Annotated[int | None, typer.Option(help="Most bytes taken by one recv.", show_default=False)]
Nodelay = Annotated[bool | None, typer.Option(help="Nagle's algorithm off (TCP_NODELAY).", show_default=False)]
MaxBuffer = Annotated[
    int | None,
    typer.Option(help="Most bytes collected for one client until `quit`, by variants that do.", show_default=False),
]


def _figure(text: str) -> int | float | str:
    """What a limit is set to: REST says what is wrong with a word that is no figure."""
    for kind in (int, float):
        with suppress(ValueError):
            if math.isfinite(figure := kind(text)):  # JSON has no others
                return figure
    return text


def _limit(text: str) -> Any:
    return typer.Option(help=text, parser=_figure, metavar="N|none", show_default=False)


MaxConnections = Annotated[Any, _limit("Open connections at once; further clients are closed at once. none: no bound.")]
IdleTimeout = Annotated[Any, _limit("Seconds without a byte until a client is hung up. none: never.")]


@cli.command()
@asks
def start(
    reach: Reach,
    variant: Annotated[
        str,
        typer.Argument(
            metavar="VARIANT|NAME",
            help="A variant, for a new server; or the name of a server that is there.",
            autocompletion=completing.startable,
        ),
    ],
    port: Port = None,
    name: Annotated[
        str | None, typer.Option(help="The new server's name; else the variant and the port.", show_default=False)
    ] = None,
    host: Host = None,
    restart: Restart = None,
    backlog: Backlog = None,
    max_connections: MaxConnections = None,
    idle_timeout: IdleTimeout = None,
    recv_size: RecvSize = None,
    nodelay: Nodelay = None,
    max_buffer: MaxBuffer = None,
) -> None:
    """Create a server and start it, or start one that is there; return once it listens."""
    given = _given(locals(), "variant")
    if not given and variant in {one.name for one in reach.deck.servers()}:
        server = reach.deck.start(variant)
    else:
        try:
            server = reach.deck.create(variant, **given)
        except echodeck.Refused as reason:
            if reason.more.get("field") == "variant" and variant in {one.name for one in reach.deck.servers()}:
                fail(f"{variant} is a server that is there; `echodeck change {variant}` changes it", INVALID)
            raise
    reach.answer(server, f"{server.name} listens on {address(server)}")


@cli.command()
@asks
def change(
    reach: Reach,
    name: Name,
    restart: Restart = None,
    backlog: Backlog = None,
    max_connections: MaxConnections = None,
    idle_timeout: IdleTimeout = None,
    recv_size: RecvSize = None,
    nodelay: Nodelay = None,
    max_buffer: MaxBuffer = None,
    variant: Annotated[
        str | None,
        typer.Option(help="Another variant.", autocompletion=completing.variants, show_default=False),
    ] = None,
    port: Port = None,
    host: Host = None,
) -> None:
    """Change a server; what is not given stays. Variant, port and host change only while it is stopped."""
    given = _given(locals(), "name")
    if not given:
        fail("nothing to change; `echodeck change --help` has what can be", INVALID)
    server = reach.deck.change(name, **given)
    new = ", ".join(f"{key.replace('_', '-')} {'none' if value is None else value}" for key, value in given.items())
    reach.answer(server, f"{server.name} has changed: {new}")


def _given(arguments: dict[str, Any], subject: str) -> dict[str, Any]:
    given = {key: value for key, value in arguments.items() if key not in {"reach", subject} and value is not None}
    return {key: None if value == "none" else value for key, value in given.items()}
