"""The interface's languages: their catalogues, and the choice of one for a reader.

Messages are in English in the code and in the templates (gettext). Refusals and the journal stay English in REST and in
the log, where programs and operators read them. For the page such a *sentence* is matched with the catalogue by its
pattern, ``There is no server {0}.``, and the text in the place of the braces is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError, negotiate_locale

LOCALE = Path(__file__).parent.parent / "locale"

LANGUAGES = {"en": "English", "zh": "中文"}
"""Their names in the language itself, by code; English needs no catalogue."""

MARKED = "xx"
"""A language for tests: every message in brackets, so that text outside the catalogue is visible."""

SENTENCE = "sentence"
"""The catalogue's context (msgctxt) of the app's sentences: refusals and the journal."""


class Words:
    """One language. Messages without a translation stay English."""

    def __init__(self, language: str, messages: Mapping[str, str], sentences: Mapping[str, str]) -> None:
        self.language = language
        self._messages = messages
        self._sentences = [(_pattern(english), other) for english, other in _most_literal_first(sentences)]
        self.table: dict[str, Any] = {"messages": dict(messages), "sentences": _most_literal_first(sentences)}
        """For the page's scripts, which do the same as ``gettext`` and ``translate``."""

    def gettext(self, message: str) -> str:
        if self.language == MARKED:
            return f"⟦{message}⟧"
        return self._messages.get(message, message)

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Chinese has one form for all numbers; the catalogue has it as the singular."""
        if self.language in ("en", MARKED):
            return self.gettext(one if count == 1 else many)
        return self.gettext(one)

    @lru_cache(maxsize=2000)  # noqa: B019  # one object for each language, for the app's lifetime
    def translate(self, sentence: str) -> str:
        """The sentence in this language; unchanged if the catalogue has no pattern for it."""
        if self.language == MARKED:
            return f"⟦{sentence}⟧"
        for pattern, other in self._sentences:
            if found := pattern.fullmatch(sentence):
                return re.sub(r"\{(\d)\}", lambda place: self.translate(found.group(int(place[1]) + 1)), other)
        return sentence


@cache
def words(language: str) -> Words:
    """Of one of ``LANGUAGES``, or of ``MARKED``."""
    if language not in LANGUAGES or language == "en":
        return Words(language if language == MARKED else "en", {}, {})
    from babel.messages.pofile import read_po  # English, which has no catalogue, does not wait for it

    messages: dict[str, str] = {}
    sentences: dict[str, str] = {}
    with (LOCALE / f"{language}.po").open("rb") as file:
        for message in read_po(file, locale=language):
            english, other = _singular(message.id), _singular(message.string)
            if english and other and not message.fuzzy:
                (sentences if message.context == SENTENCE else messages)[english] = other
    return Words(language, messages, sentences)


def read_catalogues() -> None:
    """Read them now: the first reader of a language would wait for it. Safe on any thread."""
    for language in LANGUAGES:
        words(language)


def wanted(chosen: str | None, accept_language: str) -> Words:
    """The chosen language, otherwise the browser's (Accept-Language: RFC 9110, 12.5.4), otherwise English."""
    if chosen in LANGUAGES or chosen == MARKED:
        return words(chosen)
    asked = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        tag, _, quality = part.partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", quality) if quality else None
        asked.append((-float(weight[1]) if weight else -1.0, place, _language(tag.strip())))
    preferred = [language for weight, _, language in sorted(asked) if weight]
    return words(negotiate_locale(preferred, list(LANGUAGES), sep="-") or "en")


def _singular(forms: Any) -> str:
    return forms if isinstance(forms, str) else next(iter(forms or ()), "")


def _language(tag: str) -> str:
    try:
        return Locale.parse(tag, sep="-").language
    except (ValueError, UnknownLocaleError):
        return ""


def _pattern(english: str) -> re.Pattern[str]:
    literals = re.split(r"\{\d\}", english)
    return re.compile("(.*?)".join(re.escape(literal) for literal in literals), re.DOTALL)


def _most_literal_first(sentences: Mapping[str, str]) -> list[tuple[str, str]]:
    """So that the most specific pattern matches first."""

    def literal(pair: Iterable[str]) -> int:
        english, _ = pair
        return -len(re.sub(r"\{\d\}", "", english))

    return sorted(sentences.items(), key=literal)
