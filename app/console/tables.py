"""What a person reads in a terminal. What clients of servers sent may be in it, so no control byte goes out as one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1_000_000
"""Columns of a table that goes to a file or another program, so that nothing is left out or folded there."""

GAP = 2

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def width() -> int:
    return out.width if out.is_terminal else WIDE


def plain(text: str) -> str:
    """The text with control characters as Python writes them; lines stay lines."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def line(text: str) -> str:
    """The same, on one line."""
    return plain(text).replace("\n", "\\n")


def document(told: Any) -> str:
    """JSON on one line, in the user's own letters, with what is no letter escaped."""
    text = json.dumps(_dumped(told), ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _dumped(told: Any) -> Any:
    if isinstance(told, BaseModel):
        return told.model_dump(mode="json")
    return [_dumped(one) for one in told] if isinstance(told, list | tuple) else told


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: frozenset[str] = frozenset(),
    gives_way: Sequence[str] = (),
    room: int | None = None,
) -> Table:
    """Columns in ``right`` hold figures. Where the terminal is too narrow for all, those in ``gives_way`` are left out,
    the first one first; what is still too long is for the terminal to wrap, so that a name can always be copied."""
    room = width() if room is None else room
    cells = [[line(cell) for cell in row] for row in rows]
    wide = {
        column: max(cell_len(text) for text in (column, *(row[number] for row in cells)))
        for number, column in enumerate(columns)
    }
    for column in gives_way:
        if sum(wide.values()) + GAP * (len(wide) - 1) > room:
            wide.pop(column, None)
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    last = list(wide)[-1]
    for column, cells_wide in wide.items():
        figures = column in right
        made.add_column(
            column,
            justify="right" if figures else "left",
            no_wrap=True,
            min_width=cells_wide if figures or column != last else None,
        )
    shown = [number for number, column in enumerate(columns) if column in wide]
    for row in cells:
        made.add_row(*(Text(row[number]) for number in shown))
    return made


def show(text: str | Table) -> None:
    """On stdout; no text is no line."""
    if isinstance(text, str):
        if text:
            sys.stdout.write(f"{plain(text)}\n")
            sys.stdout.flush()
        return
    console = Console(highlight=False, markup=False, emoji=False, width=WIDE)
    with console.capture() as captured:
        console.print(text)
    for one in captured.get().splitlines():
        sys.stdout.write(f"{one.rstrip()}\n")
