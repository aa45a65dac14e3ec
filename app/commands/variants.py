"""The ways of serving that there are, and their code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.syntax import Syntax

from app.console import completing
from app.console.reach import Reach, asks
from app.console.tables import out, plain, table

cli = typer.Typer()


@cli.command()
@asks
def variants(reach: Reach) -> None:
    """List the ways of serving that there are."""
    found = reach.deck.variants()
    rows = ((str(one.step or "-"), one.name, one.runs_on, one.title, one.lesson) for one in found)
    columns = ("STEP", "NAME", "RUNS ON", "TITLE", "LESSON")
    reach.say(found, table(columns, rows, right=frozenset({"STEP"}), gives_way=("LESSON", "RUNS ON")))


@cli.command()
@asks
def source(
    reach: Reach,
    variant: Annotated[
        str,
        typer.Argument(metavar="VARIANT", help="One of `echodeck variants`.", autocompletion=completing.variants),
    ],
) -> None:
    """Print the file of a variant, as it runs."""
    text = reach.deck.source(variant)
    if reach.as_json:
        reach.tell({"variant": variant, "source": text})
    elif out.is_terminal:
        out.print(Syntax(plain(text), "python", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text)
