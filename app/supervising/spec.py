"""What a server is told to be: the body of ``POST /servers``, kept as its ``spec``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.loop.shares import NOT_SERVERS
from app.supervising.backoff import Restart

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
HOST_PATTERN = r"^[0-9A-Za-z.:%_-]+$"
PATTERNS = {
    NAME_PATTERN: "Give at most 63 letters, digits, dots, hyphens and underscores, beginning with a letter or digit.",
    HOST_PATTERN: "Give an address or name of this machine, such as 127.0.0.1, ::1 or localhost.",
}
"""What who breaks them is told."""

Port = Annotated[int, Field(ge=0, le=65535, strict=True)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=HOST_PATTERN)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


def _whole(least: int, most: int) -> Any:
    return Field(ge=least, le=most, strict=True)


class Limits(BaseModel):
    """What may change while the server runs."""

    model_config = ConfigDict(extra="forbid")

    restart: Annotated[Restart, Field(description="When to run again after an end nobody asked for.")] = (
        Restart.ON_FAILURE
    )
    backlog: Annotated[
        int, _whole(1, 65535), Field(description="Clients that may wait unaccepted; the kernel has a bound of its own.")
    ] = 128
    max_connections: Annotated[
        Annotated[int, _whole(1, 1_000_000)] | None,
        Field(description="Open connections at once; further clients are closed at once. Null: no bound."),
    ] = None
    idle_timeout: Annotated[
        Seconds | None, Field(description="Seconds without a byte either way before a client is hung up. Null: never.")
    ] = None
    recv_size: Annotated[int, _whole(1, 1_048_576), Field(description="Most bytes taken by one recv.")] = 65536
    nodelay: Annotated[Flag, Field(description="Nagle's algorithm off (TCP_NODELAY).")] = True
    max_buffer: Annotated[
        int,
        _whole(1, 67_108_864),
        Field(description="Most bytes collected for one client, by the variants that collect until `quit`."),
    ] = 1_048_576


class ServerSpec(Limits):
    """A server to be: its variant, where it listens, and its limits."""

    variant: Annotated[str, Field(description="One of `GET /variants`.", examples=["asyncio"])]
    port: Annotated[Port, Field(description="0: a free one is picked.", examples=[8001])]
    host: Annotated[Host, Field(description="An address or name of this machine.")] = "127.0.0.1"
    name: Annotated[
        str | None, Field(pattern=NAME_PATTERN, description="Unique; by default the variant and the port.")
    ] = None
    start: Annotated[Flag, Field(description="Start it at once.")] = True

    @field_validator("name")
    @classmethod
    def _tellable(cls, name: str | None) -> str | None:
        if name in NOT_SERVERS:
            raise ValueError(f"{name!r} means something else where the loop is divided among servers")
        return name


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class ServerPatch(Limits):
    """Changes to a server; what is left out stays. Host, port and variant change only while it is stopped."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    variant: str = ""
    port: Port = 0
    host: Host = "127.0.0.1"

    def apply_to(self, spec: ServerSpec) -> ServerSpec:
        """The spec with these changes."""
        return spec.model_copy(update=self.model_dump(exclude_unset=True))
