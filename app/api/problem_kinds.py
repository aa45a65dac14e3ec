"""``/problems``: what the ``type`` of a refusal means."""

from __future__ import annotations

from pydantic import BaseModel

from app.api.problems import responses, rest_router
from app.errors import Invalid, Unknown, refusals

router = rest_router(tags=["problems"])


class ProblemKind(BaseModel):
    name: str
    status: int
    title: str
    explanation: str


@router.get("/problems/{name}", responses=responses(Unknown, Invalid))
async def problem_kind(name: str) -> ProblemKind:
    """What a refusal's `type` means."""
    kind = refusals().get(name)
    if kind is None:
        raise Unknown(f"There is no problem {name!r}.", what="problem", known=sorted(refusals()))
    return ProblemKind(
        name=kind.name, status=kind.status, title=kind.title, explanation=" ".join((kind.__doc__ or "").split())
    )
