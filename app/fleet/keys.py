"""The fleet's keys in etcd, and what their values hold. Fields that are not known are kept out of the way: a node of
another version may have written them."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

PREFIX = "/echodeck/v1/"
NODES, SERVERS, CLAIMS = PREFIX + "nodes/", PREFIX + "servers/", PREFIX + "claims/"

Wish = Literal["running", "stopped"]


class _Value(BaseModel):
    model_config = ConfigDict(extra="ignore")

    def text(self) -> str:
        return self.model_dump_json()


class NodeValue(_Value):
    """Under the node's lease. ``life`` differs for each start of a node; ``leaves``: it says goodbye, and is not lost
    when it is gone."""

    url: str
    serves_on: str = "127.0.0.1"
    version: str = ""
    drains: bool = False
    leaves: bool = False
    life: str = ""
    since: str = ""

    @property
    def takes(self) -> bool:
        """Whether it takes servers that nobody has."""
        return not (self.drains or self.leaves)


class ServerValue(_Value):
    """``spec`` is that of REST, as far as the node that reads it knows its fields; ``on``: null if it floats."""

    spec: dict[str, Any]
    wish: Wish = "stopped"
    on: str | None = None


class ClaimValue(_Value):
    """Under the holder's lease. ``address`` is where the server listens there, once it does."""

    node: str
    address: str | None = None


def node_key(name: str) -> str:
    return NODES + name


def server_key(name: str) -> str:
    return SERVERS + name


def claim_key(name: str) -> str:
    return CLAIMS + name


def parsed(kind: type[_Value], text: str) -> Any:
    """The value, or None for what is none."""
    try:
        return kind.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        return None
