"""Text, tables and JSON on stdout. They may contain bytes that clients sent, so control characters are escaped."""

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
"""Width of a table that goes to a file or another program: no column is left out, and no line is folded."""

GAP = 2

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def to_terminal() -> bool:
    """Whether a person sees what is printed. Not as Rich has it: to it FORCE_COLOR makes a terminal of every pipe."""
    return sys.stdout.isatty()


def width() -> int:
    return out.width if to_terminal() else WIDE


def escape(text: str) -> str:
    """The text with control characters as Python escapes; newlines are kept."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def escape_line(text: str) -> str:
    """The same, with newlines escaped."""
    return escape(text).replace("\n", "\\n")


def encode_json(value: Any) -> str:
    """JSON on one line: printable characters as they are, all others escaped."""
    text = json.dumps(_plain_data(value), ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain_data(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain_data(one) for one in value] if isinstance(value, list | tuple) else value


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: frozenset[str] = frozenset(),
    gives_way: Sequence[str] = (),
    room: int | None = None,
) -> Table:
    """Columns in ``right`` hold figures. On a narrow terminal, columns in ``gives_way`` are left out, the first one
    first. The terminal wraps a line that is still too long, so that a name can always be copied."""
    room = width() if room is None else room
    cells = [[escape_line(cell) for cell in row] for row in rows]
    widths = {
        column: max(cell_len(text) for text in (column, *(row[number] for row in cells)))
        for number, column in enumerate(columns)
    }
    for column in gives_way:
        if sum(widths.values()) + GAP * (len(widths) - 1) > room:
            widths.pop(column, None)
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    last = list(widths)[-1]
    for column, cell_width in widths.items():
        figures = column in right
        made.add_column(
            column,
            justify="right" if figures else "left",
            no_wrap=True,
            min_width=cell_width if figures or column != last else None,
        )
    kept = [number for number, column in enumerate(columns) if column in widths]
    for row in cells:
        made.add_row(*(Text(row[number]) for number in kept))
    return made


def print_answer(text: str | Table) -> None:
    """Print on stdout; an empty text prints no line."""
    if isinstance(text, str):
        if text:
            sys.stdout.write(f"{escape(text)}\n")
            sys.stdout.flush()
        return
    console = Console(highlight=False, markup=False, emoji=False, width=WIDE)
    with console.capture() as captured:
        console.print(text)
    for one in captured.get().splitlines():
        sys.stdout.write(f"{one.rstrip()}\n")
