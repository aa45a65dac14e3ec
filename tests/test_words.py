"""The interface's languages: everything is in the catalogue, and a reader gets what he wants."""

from __future__ import annotations

import re

import httpx
import pytest

from app.web.words import LANGUAGES, SENTENCE, wanted, words
from tests.catalogue import brought_up_to_date
from tests.conftest import VARIANTS

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated_and_none_is_left_over(language: str) -> None:
    there = words(language).table
    known = set(there["messages"]) | {english for english, _ in there["sentences"]}
    wanted = {
        message.id if isinstance(message.id, str) else message.id[0]
        for message in brought_up_to_date(language)
        if message.id
    }
    assert wanted - known == set(), "make words, and translate what is new"
    assert known - wanted == set(), "make words"


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_same_blanks(language: str) -> None:
    table = words(language).table
    for english, other in [*table["messages"].items(), *table["sentences"]]:
        blanks = [sorted(set(re.findall(r"%\(\w+\)s|\{\d\}", text))) for text in (english, other)]
        assert blanks[0] == blanks[1] or re.search("(?i)once|one", english), english


@pytest.mark.parametrize(
    ("chosen", "asked", "language"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de,zh-TW;q=0.5,en;q=0.4", "zh"),
        (None, "en-GB,zh;q=0.9", "en"),
        (None, "zh;q=0.1,en;q=0.9", "en"),
        (None, "zh;q=0", "en"),
        (None, "*;q=0.5, klingon, ;;q=x, \udcff", "en"),
        ("zh", "en", "zh"),
        ("en", "zh", "en"),
        ("nonsense", "zh", "zh"),
    ],
)
def test_a_reader_gets_the_language_he_chose_or_his_browser_asks_for(
    chosen: str | None, asked: str, language: str
) -> None:
    assert wanted(chosen, asked).language == language


@pytest.mark.parametrize(
    ("said", "chinese"),
    [
        ("There is no server 'x'.", "没有名为 'x' 的服务器。"),
        ("listens on 127.0.0.1:8001", "正在监听 127.0.0.1:8001"),
        ("something that nobody translated", "something that nobody translated"),
    ],
)
def test_what_the_app_says_is_found_in_the_catalogue_by_its_pattern(said: str, chinese: str) -> None:
    assert words("zh").translate(said) == chinese


def test_a_sentence_within_a_sentence_is_translated_too() -> None:
    told = words("zh").translate(
        "cannot start: 127.0.0.1:80 is taken by a program outside of this app; choose another port."
    )
    assert not re.search(r"taken|program|cannot", told)
    assert "127.0.0.1:80" in told


async def test_a_page_is_in_the_readers_language(api: httpx.AsyncClient) -> None:
    page = (await api.get("/", headers={"accept-language": "zh-CN"})).text
    assert '<html lang="zh"' in page
    for variant in VARIANTS.values():
        assert words("zh").gettext(variant.title) in page
        assert variant.title not in page
    refused = await api.post(
        "/ui/servers", data={"variant": "asyncio", "port": "80"}, headers={"accept-language": "zh"}
    )
    assert "outside the allowed range" not in refused.text


async def test_the_scripts_have_the_same_words(api: httpx.AsyncClient) -> None:
    table = (await api.get("/ui/words/zh")).json()
    assert table == {
        "messages": words("zh").table["messages"],
        "sentences": [list(pair) for pair in words("zh").table["sentences"]],
    }
    assert (await api.get("/ui/words/../secret")).status_code == 404
    assert (await api.get("/ui/words/fr")).status_code == 404


def test_sentences_have_a_context_of_their_own() -> None:
    assert SENTENCE
    assert "There is no server {0}." not in words("zh").table["messages"]
