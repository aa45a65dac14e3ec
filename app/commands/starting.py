"""``echodeck start`` and ``change``: the commands with an option for each setting of a server."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import echodeck
from app.commands.servers import Name, address
from app.console import completing
from app.console.reach import Reach, asks
from app.console.setting_options import NONE, takes_settings, without_those_left_out
from app.program.exit_codes import INVALID, fail
from app.supervising.spec import Limits


@asks
@takes_settings("port", "name", "host", "on", *Limits.model_fields)
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
    **given: Any,
) -> None:
    """Create a server and start it, or start one that is there; return once it listens."""
    settings = without_those_left_out(given)
    if not settings and variant in {one.name for one in reach.deck.servers()}:
        server = reach.deck.start(variant)
    else:
        try:
            server = reach.deck.create(variant, **settings)
        except echodeck.Refused as reason:
            if reason.more.get("field") == "variant" and variant in {one.name for one in reach.deck.servers()}:
                fail(f"{variant} is a server that is there; `echodeck change {variant}` changes it", INVALID)
            raise
    reach.answer(server, f"{server.name} listens on {address(server)}")


@asks
@takes_settings(*Limits.model_fields, "port", "host", "on")
def change(
    reach: Reach,
    name: Name,
    variant: Annotated[
        str | None,
        typer.Option(help="Another variant.", autocompletion=completing.variants, show_default=False),
    ] = None,
    **given: Any,
) -> None:
    """Change a server; what is not given stays. Variant, port and host change only while it is stopped."""
    settings = without_those_left_out({"variant": variant, **given})
    if not settings:
        fail("nothing to change; `echodeck change --help` has what can be", INVALID)
    server = reach.deck.change(name, **settings)
    new = ", ".join(f"{key.replace('_', '-')} {NONE if value is None else value}" for key, value in settings.items())
    reach.answer(server, f"{server.name} has changed: {new}")
