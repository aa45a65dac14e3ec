"""``/variants``."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import PlainTextResponse

from app.api.problems import responses, rest_router
from app.errors import Invalid, Unknown
from app.shapes.servers import Variants, VariantShape
from app.web.parameters import After, Limit, cursor, position, supervisor

router = rest_router(prefix="/variants", tags=["variants"])


@router.get("", responses=responses(Invalid))
async def list_variants(request: Request, limit: Limit = 1000, after: After = None) -> Variants:
    """The ways of serving that there are: the tutorial's steps in order, then those beyond."""
    start = position("variants", after)
    found = list(supervisor(request).variants.values())
    following = cursor("variants", start + limit) if len(found) > start + limit else None
    return Variants(items=[VariantShape.of(variant) for variant in found[start : start + limit]], next=following)


class PythonResponse(PlainTextResponse):
    media_type = "text/x-python"


@router.get("/{variant}/source", response_class=PythonResponse, responses=responses(Unknown, Invalid))
async def variant_source(request: Request, variant: str) -> PythonResponse:
    """The variant's file, as it runs."""
    return PythonResponse(supervisor(request).variant(variant).source)
