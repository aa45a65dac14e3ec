"""``echodeck variants`` and ``echodeck source``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.syntax import Syntax

from app.console import completing
from app.console.reach import Reach, asks
from app.console.tables import escape, out, table

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
    elif out.is_terminal:
        out.print(Syntax(escape(text), "python", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text)
