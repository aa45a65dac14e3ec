"""The limits of the app itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class AppLimits(BaseModel):
    """What may be open at once, of all servers together."""

    model_config = ConfigDict(extra="forbid")

    connections: Annotated[
        Annotated[int, Field(ge=1, le=10_000_000, strict=True)] | None,
        Field(description="Clients inside. Null: no bound but that of the descriptors."),
    ]
    streams: Annotated[int, Field(ge=1, le=10_000, strict=True, description="Feeds and taps.")]
    terminals: Annotated[int, Field(ge=0, le=100_000, strict=True, description="Terminals.")]


def _all_optional(schema: dict[str, Any]) -> None:
    schema.pop("required", None)
    for field in schema["properties"].values():
        field.pop("default", None)


class AppLimitsPatch(AppLimits):
    """What is left out stays."""

    model_config = ConfigDict(json_schema_extra=_all_optional)

    connections: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] | None = None
    streams: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
    terminals: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 0
