"""One thing done to many: whatever becomes of one, the others have their turn; a bar where it takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import echodeck
from app.console.reach import code, why
from app.console.tables import plain
from app.program.exit_codes import complain

MANY = 3
"""So many are worth a bar."""


def to_each(names: Sequence[str], do: Callable[[str], None], doing: str = "", long: bool = False) -> None:
    """Do it to all of them; end the program with the largest code if one failed.

    ``doing`` is what the bar says, on stderr and only if that is a terminal; ``long``: one alone is worth it.
    """
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else an answer that goes to a pipe would go to the bar's terminal
        disable=not (doing and sys.stderr.isatty() and (long or len(names) >= MANY)),
    )
    worst = 0
    with bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=plain(f"{doing} {name}"))
            try:
                do(name)
            except echodeck.Refused as reason:
                said = why(reason)
                complain(said if len(names) == 1 or plain(name) in said else f"{plain(name)}: {said}")
                worst = max(worst, code(reason))
            bar.advance(task)
    if worst:
        raise typer.Exit(worst)
