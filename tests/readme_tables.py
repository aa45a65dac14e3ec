"""README's tables that the code knows better: ``python -m tests.readme_tables`` writes them anew (`make words` does)."""

from __future__ import annotations

import json
from pathlib import Path

from app.supervising.setting import Declared
from app.supervising.spec import SETTINGS
from app.terminals.close_codes import CLOSE_CODES

README = Path(__file__).parent.parent / "README.md"


def settings_table() -> str:
    """The fields of ``POST /servers``, those that are required first."""
    rows = sorted(SETTINGS.values(), key=lambda one: not one.required)
    return table(("field", "default", ""), [(f"`{one.name}`", default(one), description(one)) for one in rows])


def close_codes_table() -> str:
    return table(
        ("code", "why a terminal is closed"), [(str(code.value), about.meaning) for code, about in CLOSE_CODES.items()]
    )


def default(declared: Declared) -> str:
    if declared.required:
        return "required"
    return f"`{json.dumps(declared.default)}`".replace('"', "")


def description(declared: Declared) -> str:
    if declared.kind != "choice":
        return declared.setting.description
    choices = ", ".join(f"`{value}` ({words})" for value, words in declared.setting.choices.items())
    return f"{declared.setting.description.removesuffix('.')}: {choices}."


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


TABLES = {"settings": settings_table, "close codes": close_codes_table}
"""By the name that README gives before and after each, in comments."""


def brought_up_to_date(text: str) -> str:
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: made by `make words` -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"README has no place for the table {name!r}")
        text = f"{before}{begin}{make()}{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(brought_up_to_date(README.read_text()))
