"""Refusals as HTTP answers (RFC 9457), and what is invalid in a request's fields as a refusal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi.responses import JSONResponse, Response

from app.errors import Invalid, Refusal
from app.supervising.spec import PATTERNS
from app.web.place import at

MEDIA_TYPE = "application/problem+json"

NO_WHOLE_NUMBER = "Give a whole number."
NO_NUMBER = "Give a number, such as 2 or 0.5."
IN_OUR_WORDS = {
    "extra_forbidden": "There is no such field.",
    "int_type": NO_WHOLE_NUMBER,
    "int_parsing": NO_WHOLE_NUMBER,
    "int_from_float": NO_WHOLE_NUMBER,
    "float_type": NO_NUMBER,
    "float_parsing": NO_NUMBER,
}
"""By the kind of an error of Pydantic's, which speaks to programmers."""


ADDRESSES = ("type", "server")
"""Fields of a problem that may be addresses of the app."""


def response(refusal: Refusal) -> Response:
    problem = refusal.problem()
    for name in ADDRESSES:
        if str(problem.get(name, "")).startswith("/"):
            problem[name] = at(problem[name])
    return JSONResponse(problem, refusal.status, refusal.headers, MEDIA_TYPE)


def explain(found: Iterable[Any]) -> Invalid:
    errors = []
    for one in found:
        place = [str(part) for part in one["loc"]]
        if one["type"] == "json_invalid":
            field, message = None, f"The body is not JSON: {one['ctx']['error']} at character {one['loc'][-1]}."
        elif place == ["body"]:
            field, message = None, "Send a JSON object, with content-type application/json."
        else:
            field = ".".join(place[1:])
            message = IN_OUR_WORDS.get(one["type"]) or one["msg"].removeprefix("Value error, ")
            if pattern := PATTERNS.get(one.get("ctx", {}).get("pattern", "")):
                message = f"Give {pattern}."
        errors.append({"field": field, "message": message})
    first = errors[0]
    detail = f"{first['field']}: {first['message']}" if first["field"] else str(first["message"])
    return Invalid(detail, field=first["field"], errors=errors)
