"""What a server is told to be: the body of ``POST /servers``, kept as its ``spec``.

A new setting is one line in ``Limits``, if it may change while the server runs, and the code that obeys it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.loop.shares import NOT_SERVERS
from app.supervising.backoff import Restart
from app.supervising.setting import Setting, declared

ON_NODE = "node"
"""The host of a server that listens on its node's own address (``--serve-on``)."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
HOST_PATTERN = r"^[0-9A-Za-z.:%_-]+$"
PATTERNS = {
    NAME_PATTERN: "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit",
    HOST_PATTERN: "an address or a name of the app's machine",
}
"""In words, what matches them."""

RUN_AGAIN = {"on-failure": "after a crash", "always": "after any end", "never": "never"}
NAGLE = {"True": "off", "False": "on"}


def _whole(least: int, most: int) -> Any:
    return Field(ge=least, le=most, strict=True)


Variant = Annotated[str, Setting("Variant", "One of `GET /variants`.")]
Port = Annotated[int, _whole(0, 65535), Setting("Port", "The TCP port; 0 picks a free one.")]
Host = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=HOST_PATTERN),
    Setting("Host", "An address or name of the app's machine; `node` is the node's own address (`--serve-on`)."),
]
On = Annotated[
    str | None,
    Field(pattern=NAME_PATTERN),
    Setting(
        "On node", "The node of a fleet that it is pinned to; else it floats: any node may run it.", empty="any node"
    ),
]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class Limits(BaseModel):
    """What may change while the server runs."""

    model_config = ConfigDict(extra="forbid")

    restart: Annotated[
        Restart, Setting("Run again", "When to run again after an end that was not requested.", choices=RUN_AGAIN)
    ] = Restart.ON_FAILURE
    backlog: Annotated[
        int,
        _whole(1, 65535),
        Setting("Backlog", "Clients that may wait unaccepted; the kernel has a bound of its own."),
    ] = 128
    max_connections: Annotated[
        Annotated[int, _whole(1, 1_000_000)] | None,
        Setting("Most connections", "Open connections at once; further clients are closed at once.", empty="no bound"),
    ] = None
    max_per_peer: Annotated[
        Annotated[int, _whole(1, 1_000_000)] | None,
        Setting(
            "Most from one address",
            "Open connections at once from one address; further ones are closed at once.",
            empty="no bound",
        ),
    ] = None
    max_rate: Annotated[
        Annotated[int, _whole(1, 2_000_000_000)] | None,
        Setting(
            "Most bytes a second",
            "Bytes a second that each client is sent at most; the kernel paces them (SO_MAX_PACING_RATE).",
            unit="B/s",
            empty="no bound",
        ),
    ] = None
    idle_timeout: Annotated[
        Seconds | None,
        Setting(
            "Idle timeout", "Seconds without a byte either way before a client is hung up.", unit="s", empty="never"
        ),
    ] = None
    recv_size: Annotated[int, _whole(1, 1_048_576), Setting("Bytes a recv", "Most bytes taken by one recv.")] = 65536
    nodelay: Annotated[Flag, Setting("Nagle's algorithm", "Nagle's algorithm off (TCP_NODELAY).", choices=NAGLE)] = True
    max_buffer: Annotated[
        int,
        _whole(1, 67_108_864),
        Setting("Most buffered", "Most bytes collected for one client, by the variants that collect until `quit`."),
    ] = 1_048_576


class ServerSpec(Limits):
    """A server to be: its variant, where it listens, and its limits."""

    variant: Annotated[Variant, Field(examples=["asyncio"])]
    port: Annotated[Port, Field(examples=[8001])]
    host: Host = "127.0.0.1"
    name: Annotated[
        str | None,
        Field(pattern=NAME_PATTERN),
        Setting("Name", "Unique among the servers.", empty="variant-port"),
    ] = None
    on: On = None
    start: Annotated[Flag, Setting("Start", "Start it at once.")] = True

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str | None) -> str | None:
        if name in NOT_SERVERS:
            raise ValueError(f"{name!r} is reserved: it is the name of a share of the loop that no server has")
        return name


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class ServerPatch(Limits):
    """Changes to a server; what is left out stays. Host, port and variant change only while it is stopped."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    variant: Variant = ""
    port: Port = 0
    host: Host = "127.0.0.1"
    on: On = None

    def apply_to(self, spec: ServerSpec) -> ServerSpec:
        """The spec with these changes."""
        return spec.model_copy(update=self.model_dump(exclude_unset=True))


SETTINGS = declared(ServerSpec)
"""All of them by name, in the model's order."""

PLACE = ("variant", "port", "host")
"""Those that change only while nothing runs."""
