"""Text, tables and JSON on stdout. They may contain bytes that clients sent, so control characters are escaped."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import typer

WIDE = 1_000_000
"""Width of a table that goes to a file or another program: no column is left out, and no line is folded."""

GAP = 2


class Line(NamedTuple):
    """A line of text; ``style`` is for a terminal: ``bold``, ``dim``, a colour, or several of them."""

    text: str
    style: str = ""


def to_terminal() -> bool:
    """Whether a person sees what is printed. Not as Rich has it: to it FORCE_COLOR makes a terminal of every pipe."""
    return sys.stdout.isatty()


def width() -> int:
    return shutil.get_terminal_size().columns if to_terminal() else WIDE


def height() -> int:
    return shutil.get_terminal_size().lines if to_terminal() else WIDE


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
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return [_plain_data(one) for one in value] if isinstance(value, list | tuple) else value


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: frozenset[str] = frozenset(),
    gives_way: Sequence[str] = (),
    room: int | None = None,
) -> list[Line]:
    """Columns in ``right`` hold figures. On a narrow terminal, columns in ``gives_way`` are left out, the first one
    first. The terminal wraps a line that is still too long, so that a name can always be copied."""
    room = width() if room is None else room
    cells = [columns, *([escape_line(cell) for cell in row] for row in rows)]
    widths = {column: max(_cell_len(row[number]) for row in cells) for number, column in enumerate(columns)}
    for column in gives_way:
        if sum(widths.values()) + GAP * (len(widths) - 1) > room:
            widths.pop(column, None)
    lines = list[Line]()
    for row in cells:
        padded = []
        for column, text in zip(columns, row, strict=True):
            if column in widths:
                padding = " " * (widths[column] - _cell_len(text))
                padded.append(padding + text if column in right else text + padding)
        lines.append(Line((" " * GAP).join(padded).rstrip(), "" if lines else "bold"))
    return lines


def _cell_len(text: str) -> int:
    """The width in a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # letters of other scripts may be two cells wide

    return cell_len(text)


def print_answer(answer: str | Iterable[Line]) -> None:
    """Print on stdout; an empty text prints no line."""
    if isinstance(answer, str):
        answer = [Line(answer)] if answer else []
    lines = [Line(escape(line.text), line.style) for line in answer]
    sys.stdout.write("".join(f"{_styled(line) if to_terminal() else line.text}\n" for line in lines))
    sys.stdout.flush()


def _styled(line: Line) -> str:
    """With ANSI escape sequences, unless the environment asks for none (https://no-color.org)."""
    words = line.style.split()
    if not words or os.environ.get("TERM") in {"dumb", "unknown"}:
        return line.text
    colour = None if os.environ.get("NO_COLOR") else next((word for word in words if word not in ATTRIBUTES), None)
    return typer.style(line.text, colour, bold="bold" in words or None, dim="dim" in words or None)


ATTRIBUTES = {"bold", "dim"}
