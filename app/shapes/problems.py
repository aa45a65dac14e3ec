"""A refusal."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """A refusal (RFC 9457). `type` ends in its name and is the address of its description."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["/problems/port-taken"])]
    title: str
    status: int
    detail: str
