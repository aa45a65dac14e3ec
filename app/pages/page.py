"""What every page has: its language and theme, the header's figures, and an error that a person can read."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import blake2s
from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from app.addresses import format_address
from app.clock import Clock
from app.connections.client import CONNECTION_STATES
from app.errors import Refusal
from app.pages.fields import size
from app.shapes.loop import LoopNow
from app.supervising.lifecycle import STATES, State
from app.supervising.spec import SETTINGS
from app.terminals.close_codes import CLOSE_CODES, CloseCode
from app.watching.feed import KEYS, TOPICS
from app.web import figures
from app.web.parameters import supervisor
from app.web.place import own_path, root
from app.web.security import Role, Rules
from app.web.template_cache import TemplateCache
from app.web.words import LANGUAGES, Words, wanted

PACKAGE = Path(__file__).parent.parent
ROOT = PACKAGE if (PACKAGE / "templates").is_dir() else PACKAGE.parent
"""In a checkout the templates lie beside the package, installed they lie in it."""

LANGUAGE, THEME = "echodeck-language", "echodeck-theme"
"""Cookies with what a reader chose."""

Theme = Literal["auto", "light", "dark"]


@pass_context
def _gettext(context: Context, message: str) -> str:
    words: Words = context["words"]
    return words.gettext(message)


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    words: Words = context["words"]
    return words.ngettext(one, many, count)


def _instant(at: datetime) -> str:
    """As HTML has it: with three digits of a second, at most."""
    return at.isoformat(timespec="milliseconds")


@pass_context
def _span(context: Context, since: Any) -> str:
    return figures.span(since, Clock().wall(), context["words"])


@pass_context
def _idle(context: Context, seconds: float | None) -> str:
    return figures.idle(seconds, context["words"])


@pass_context
def _translate(context: Context, sentence: str) -> str:
    words: Words = context["words"]
    return words.translate(sentence)


def _field_error(refusal: Refusal) -> str:
    """What is wrong, without the name of the field that it stands beside."""
    errors = refusal.extra.get("errors")
    return str(errors[0]["message"] if errors else refusal.detail)


environment = Environment(
    loader=FileSystemLoader(ROOT / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
    bytecode_cache=TemplateCache(ROOT / "templates" / "__pycache__", Path(__file__).read_text(encoding="utf-8")),
)
environment.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]  # the extension's
environment.filters.update(figures.FILTERS)
environment.globals.update(root=root, setting_declarations=SETTINGS, states=STATES, connection_states=CONNECTION_STATES)
environment.filters.update(
    input_size=size,
    instant=_instant,
    span=_span,
    idle=_idle,
    translate=_translate,
    field_error=_field_error,
    address=format_address,
)


@cache
def build() -> str:
    """Of what browsers get: equal as long as templates, scripts, styles and words are."""
    tag = blake2s(digest_size=6)
    files = [*(ROOT / "templates").rglob("*.html"), *(PACKAGE / "locale").glob("*.po")]
    files += [path for path in (ROOT / "static").rglob("*") if path.suffix in {".js", ".mjs", ".css"}]
    for path in sorted(files):
        tag.update(str(path.name).encode())
        tag.update(path.read_bytes())
    return tag.hexdigest()


def static() -> str:
    """Where the scripts and styles of this build are: a browser may keep what it got from there."""
    return f"{root()}/static/{build()}"


environment.globals.update(build=build, static=static)


def templates() -> list[str]:
    """The names of all templates."""
    return environment.list_templates(extensions=["html"])


@dataclass(frozen=True)
class Reader:
    """The reader of a page: language, theme, and what is allowed."""

    words: Words
    theme: Theme
    role: Role

    @classmethod
    def of(cls, request: Request) -> Reader:
        theme: Any = request.cookies.get(THEME)
        return cls(
            wanted(request.cookies.get(LANGUAGE), request.headers.get("accept-language", "")),
            theme if theme in ("light", "dark") else "auto",
            getattr(request.state, "role", "viewer"),
        )


def facts(words: Words) -> dict[str, Any]:
    """What the scripts must know and the app declares, in the reader's language; static/facts.js reads it."""
    return {
        "states": {
            state.value: {"words": words.gettext(about.words), "rests": about.rests, "ended": about.ended}
            for state, about in STATES.items()
        },
        "topics": {topic: {"kind": kind, "key": KEYS.get(kind)} for topic, kind in TOPICS.items()},
        "connectionStates": {state: words.gettext(text) for state, text in CONNECTION_STATES.items()},
        "closeCodes": {
            code.value: {
                "happened": words.gettext(about.happened),
                "advice": words.gettext(about.advice) if about.advice else "",
                "trouble": about.trouble,
                "needsStart": about.needs_start,
            }
            for code, about in CLOSE_CODES.items()
        },
        "codes": {code.name: code.value for code in CloseCode},
        "root": root(),
        "now": Clock().wall().isoformat(),
        "build": build(),
    }


def bare(request: Request, template: str, values: dict[str, Any], status: int = 200) -> Response:
    """A page with nothing of the app's servers: for readers that may not see them."""
    reader = Reader.of(request)
    common = {
        "words": reader.words,
        "theme": reader.theme,
        "languages": LANGUAGES,
        "here": own_path(request.scope) if request.method in ("GET", "HEAD") else "/",
    }
    html = environment.get_template(template).render(common | values).encode()
    headers = {"content-language": reader.words.language, "vary": "Accept-Encoding, Accept-Language, Cookie"}
    if "gzip" in request.headers.get("accept-encoding", ""):  # a page has no secret that its length could tell
        html, headers["content-encoding"] = gzip.compress(html, compresslevel=1), "gzip"
    return HTMLResponse(html, status, headers=headers)


async def page(request: Request, template: str, values: dict[str, Any], status: int = 200) -> Response:
    """With the header's figures; what it shows of what happened is in the state file by then."""
    found = supervisor(request)
    rules: Rules = request.app.state.rules
    servers = found.servers()
    common = {
        "loop": LoopNow.of(found.sampler),
        "count": len(servers),
        "running": sum(server.state is State.RUNNING for server in servers),
        "connections": sum(server.tally.open + server.waiting for server in servers),
        "guarded": rules.guarded,
        "may_change": Reader.of(request).role == "owner",
        "trouble": found.trouble,
        "broken": found.broken,
        "problem": None,
        "facts": facts(Reader.of(request).words),
    }
    response = bare(request, template, common | values, status)
    await found.chronicle.flushed()
    return response


async def problem_page(request: Request, refusal: Refusal) -> Response:
    return await page(request, "problem.html", {"problem": refusal}, refusal.status)


class PageRoute(APIRoute):
    """A refusal that reaches a page's reader is a page too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except Refusal as refusal:
                return await problem_page(request, refusal)

        return handled
