"""What there is to start (``echodeck variants`` and ``source``); to start a server, and to change one."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.syntax import Syntax

import echodeck
from app.commands.servers import Name, address
from app.console import completing
from app.console.reach import Reach, asks
from app.console.setting_options import NONE, takes_settings, without_those_left_out
from app.console.tables import escape, out, table, to_terminal
from app.program.exit_codes import INVALID, fail
from app.supervising.spec import Limits

cli = typer.Typer()


@cli.command()
@asks
def variants(reach: Reach) -> None:
    """List the variants: the ways in which a server can serve."""
    found = reach.deck.variants()
    rows = ((str(one.step or "-"), one.name, one.runs_on, one.title, one.lesson) for one in found)
    columns = ("STEP", "NAME", "RUNS ON", "TITLE", "LESSON")
    reach.answer(found, table(columns, rows, right=frozenset({"STEP"}), gives_way=("LESSON", "RUNS ON")))


@cli.command()
@asks
def source(
    reach: Reach,
    variant: Annotated[
        str,
        typer.Argument(metavar="VARIANT", help="One of `echodeck variants`.", autocompletion=completing.variants),
    ],
) -> None:
    """Print the source file of a variant."""
    text = reach.deck.source(variant)
    if reach.as_json:
        reach.answer_json({"variant": variant, "source": text})
    elif to_terminal():
        out.print(Syntax(escape(text), "python", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text)


@cli.command()
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


@cli.command()
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
