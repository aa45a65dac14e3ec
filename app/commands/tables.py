"""What a person reads in a terminal. What clients of servers sent may be in it, so no control byte goes out as one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1000
"""Columns of a table that goes to a file or another program, so that nothing is folded there."""

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)


def plain(text: str) -> str:
    """The text with control characters as Python writes them; lines stay lines."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[str] = frozenset(), title: str | None = None
) -> Table:
    """Columns in ``right`` hold figures."""
    made = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def show(text: str | Table) -> None:
    out.print(plain(text) if isinstance(text, str) else text)
