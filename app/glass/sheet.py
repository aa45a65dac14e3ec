"""Recordings as one HTML file that needs nothing else, and as what such a file holds."""

from __future__ import annotations

import json
import re
from functools import cache

from app.pages.page import ROOT, environment
from app.recordings.recording import Recording
from app.web.words import Words

STATIC = ROOT / "static"
SCRIPTS = tuple(f"glass/{name}.js" for name in ("model", "wording", "labels", "columns", "picture", "player"))
"""Each imports from those before it, and from nothing else."""

_MESSAGE = re.compile(r'_\("((?:[^"\\]|\\.)+)"')


def as_json(recordings: list[Recording]) -> str:
    """A comparison, whole."""
    head = json.dumps(recordings[0].head["comparison"])
    return f'{head[:-1]},"items":[{",".join(one.whole for one in recordings)}]}}'


def as_html(recordings: list[Recording], words: Words) -> str:
    title = (recordings[0].head.get("comparison") or {}).get("title") or recordings[0].head["server"]
    # "<" may not stand in a script of HTML as it is: it could end it.
    data = f"[{','.join(one.whole for one in recordings)}]".replace("<", "\\u003c")
    return environment.get_template("sheet.html").render(
        title=title,
        words=words,
        data=data,
        messages={one: words.gettext(one) for one in _MESSAGE.findall(_script())},
        script=_script(),
        tokens=_text("style/tokens.css"),
        style=_text("style/glass.css"),
    )


@cache
def _script() -> str:
    """The modules as one."""
    text = "\n".join(_text(name) for name in SCRIPTS)
    return re.sub(r"^import .*$", "", re.sub(r"^export ", "", text, flags=re.MULTILINE), flags=re.MULTILINE)


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
