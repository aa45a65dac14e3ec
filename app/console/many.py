"""One action for many names: after a failure the others still follow; a progress bar where it takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count

import typer

import echodeck
from app.console.reach import exit_code, refusal_text
from app.console.tables import escape
from app.program.exit_codes import print_error

MANY = 3
"""From this number of names on, a bar is shown."""


def to_each(names: Sequence[str], do: Callable[[str], None], label: str = "", long: bool = False) -> None:
    """Do it for each name; if one failed, end the program with the largest exit code.

    ``label`` is the text of the bar, on stderr and only if that is a terminal; ``long``: one name has a bar, too.
    """
    worst = 0
    shown = label and sys.stderr.isatty() and (long or len(names) >= MANY)
    with _bar(len(names)) if shown else nullcontext(lambda description: None) as begin:
        for name in names:
            begin(escape(f"{label} {name}"))
            try:
                do(name)
            except echodeck.Refused as reason:
                message = refusal_text(reason)
                print_error(message if len(names) == 1 or escape(name) in message else f"{escape(name)}: {message}")
                worst = max(worst, exit_code(reason))
    if worst:
        raise typer.Exit(worst)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows the begin of the next step."""
    from rich.console import Console  # slow to import, and needed in a terminal only
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else an answer that goes to a pipe would go to the bar's terminal
    ) as bar:
        task = bar.add_task("", total=total)
        begun = count()
        yield lambda description: bar.update(task, description=description, completed=next(begun))
