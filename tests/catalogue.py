"""What Babel cannot find by itself: the sentences that the app says, and the variants' titles and lessons.

``python -m tests.catalogue`` brings ``app/locale/*.po`` up to date with the code (`make words`); what is new in them waits
for its translation, and a test fails as long as it does.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from app.connections.breaches import BREACH_WORDS
from app.connections.client import CONNECTION_STATES
from app.errors import refusals
from app.lens.call_records import UNSEEN
from app.recordings.scripts import SCRIPTS
from app.supervising.lifecycle import EXIT_WORDS, STATES, State
from app.supervising.spec import PATTERNS, SETTINGS
from app.terminals.close_codes import CLOSE_CODES
from app.web.problems import NO_NUMBER, NO_WHOLE_NUMBER
from app.web.words import LANGUAGES, LOCALE, SENTENCE
from servers import discover

ROOT = Path(__file__).parent.parent
METHODS = [("templates/**.html", "jinja2"), ("app/**.py", "python")]
OPTIONS = {"templates/**.html": {"trimmed": "true", "silent": "false"}}
KEYWORDS: dict[str, Any] = {"_": None, "gettext": None, "ngettext": (1, 2)}

IN_SCRIPTS = re.compile(r'\b_\(\s*"((?:[^"\\]|\\.)*)"|\bn_\(\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"')
"""A message of a script. Babel's own extractor loses calls with an object among their arguments within templates."""

SPEAKERS = {kind.__name__ for kind in refusals().values()} | {
    "note",
    "_note",
    "_said",
    "noted",
    "_move",
    "Holder",
    "Impossible",
    "Mistake",
    "ValueError",
    "Verdict",
}
"""Calls whose literal arguments are sentences of the app's."""

FOREIGN = [
    "Field required",
    NO_WHOLE_NUMBER,
    NO_NUMBER,
    *(f"Give {pattern}." for pattern in PATTERNS.values()),
    "Input should be a valid string",
    "Input should be a valid boolean",
    "Input should be greater than or equal to {0}",
    "Input should be less than or equal to {0}",
    "Input should be greater than {0}",
    "Input should be less than {0}",
    "Input should be 'never', 'on-failure' or 'always'",
    "String should have at least {0} character",
    "String should have at least {0} characters",
    "String should have at most {0} characters",
    "Give seconds, 0 to 3600.",
    UNSEEN,
    "this takes {0}",
    "this takes none",
    "a client came from {0}",
]
"""What the libraries say of a form's fields, and what stands elsewhere than in a call."""


def wanted() -> Catalog:
    """Everything that there is to be translated."""
    catalogue = Catalog(charset="utf-8")
    found = extract_from_dir(str(ROOT), METHODS, OPTIONS, KEYWORDS, directory_filter=_ours)
    for file, line, message, _comments, context in found:
        catalogue.add(message, None, [(file, line)], context=context)
    for path in scripts():
        for one, first, second in IN_SCRIPTS.findall(path.read_text()):
            message = json.loads(f'"{one or first}"')
            catalogue.add((message, json.loads(f'"{second}"')) if second else message, None, [(str(path), 1)])
    for variant in discover().values():
        for text in (variant.title, variant.lesson):
            catalogue.add(text, None, [(f"servers/{variant.path.name}", 1)])
    for lesson in SCRIPTS.values():
        for text in (lesson.script.title, lesson.lesson):
            catalogue.add(text, None, [("app/recordings/scripts.py", 1)])
    for code in CLOSE_CODES.values():
        for text in (code.happened, code.advice):
            if text:
                catalogue.add(text, None, [("app/terminals/close_codes.py", 1)])
    for words in CONNECTION_STATES.values():
        catalogue.add(words, None, [("app/connections/client.py", 1)])
    for about in STATES.values():
        catalogue.add(about.words, None, [("app/supervising/lifecycle.py", 1)])
    for declared in SETTINGS.values():
        setting = declared.setting
        for text in (setting.label, setting.unit, setting.empty, *setting.choices.values()):
            if text:
                catalogue.add(text, None, [("app/supervising/spec.py", 1)])
    for file, line, sentence in _sentences():
        catalogue.add(sentence, None, [(file, line)], context=SENTENCE)
    return catalogue


def scripts() -> list[Path]:
    """Ours, not the libraries'."""
    return [path for path in sorted((ROOT / "static").rglob("*.js")) if "vendor" not in path.parts]


def _ours(folder: str) -> bool:
    path = Path(folder)
    return path == ROOT or path.relative_to(ROOT).parts[0] in {"app", "templates"}


def _sentences() -> Iterator[tuple[str, int, str]]:
    for kind in refusals().values():
        yield "app/errors.py", 1, kind.title
    for path in sorted((ROOT / "app").rglob("*.py")):
        file = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in SPEAKERS:
                for argument in node.args:
                    for sentence in _literals(argument):
                        if any(map(str.isalpha, sentence)) and (" " in sentence or _name(node.func) == "_move"):
                            yield file, node.lineno, sentence
    for state in State:
        yield "app/supervising/lifecycle.py", 1, state.value
    for words in (*EXIT_WORDS.values(), *BREACH_WORDS.values()):
        if any(map(str.isalpha, words)):
            yield "app/supervising/lifecycle.py", 1, words
    for sentence in FOREIGN:
        yield "tests/catalogue.py", 1, sentence


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _literals(node: ast.expr) -> Iterator[str]:
    """A literal with ``{0}`` and so on for what is filled in; both of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts, blanks = [], 0
        for value in node.values:
            if isinstance(value, ast.Constant):
                parts.append(str(value.value))
            else:
                parts.append(f"{{{blanks}}}")
                blanks += 1
        yield "".join(parts)
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)


def brought_up_to_date(language: str) -> Catalog:
    """The catalogue of a language, with what is wanted now and nothing else; no guesses."""
    with (LOCALE / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    catalogue.update(wanted(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    return catalogue


def main() -> None:
    for language in LANGUAGES:
        if language != "en":
            text = io.BytesIO()
            catalogue = brought_up_to_date(language)
            write_po(
                text,
                catalogue,
                width=120,
                no_location=True,
                omit_header=False,
                sort_output=True,
                include_previous=False,
            )
            lines = text.getvalue().decode().splitlines(keepends=True)
            kept = [
                line
                for line in lines
                if not line.startswith(
                    (
                        '"POT-Creation',
                        '"PO-Revision',
                        '"Generated-By',
                        '"Project-Id',
                        '"Report-Msgid',
                        '"Last-Translator',
                        '"Language-Team',
                        "#, python-format",
                    )
                )
            ]
            (LOCALE / f"{language}.po").write_text("".join(kept))
            missing = [message for message in catalogue if message.id and not any(message.string or "")]
            print(f"{language}: {len(catalogue)} messages, {len(missing)} to be translated")  # noqa: T201


if __name__ == "__main__":
    main()
