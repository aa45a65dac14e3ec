"""What the scripts must know and the app declares: states and close codes. Every page holds it once, as JSON.

static/facts.js reads it.
"""

from __future__ import annotations

from typing import Any

from app.supervising.lifecycle import STATES
from app.terminals.close_codes import CLOSE_CODES, CloseCode
from app.web.words import Words


def facts(words: Words) -> dict[str, Any]:
    """In the reader's language."""
    return {
        "states": {
            state.value: {"words": words.gettext(about.words), "rests": about.rests, "ended": about.ended}
            for state, about in STATES.items()
        },
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
    }
