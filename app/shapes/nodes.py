"""The nodes of a fleet."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

NODE_STATES = {
    "ready": "ready",
    "draining": "gives its servers away",
    "fenced": "cut off from the engine",
    "lost": "lost",
}
"""By state, in words."""


class NodeShape(BaseModel):
    name: str
    url: Annotated[str, Field(description="By which the other nodes reach it.")]
    state: Annotated[
        Literal["ready", "draining", "fenced", "lost"],
        Field(description="fenced: it cannot renew its lease, and has ended what floats; lost: its lease has ended."),
    ]
    since: Annotated[datetime | None, Field(description="When it started.")]
    version: str
    servers: Annotated[int | None, Field(description="That it has; null if it does not answer.")]
    connections: Annotated[int | None, Field(description="Open on it.")]
    loop_share: Annotated[float | None, Field(description="How busy its event loop is, 0 to 1.")]
    lease_left: Annotated[float | None, Field(description="Seconds until it is fenced, unless it renews its lease.")]
    serves_on: Annotated[str, Field(description="The address of servers whose host is `node`.")]


class Nodes(BaseModel):
    items: list[NodeShape]
    missing: Annotated[list[str], Field(description="Nodes that did not answer in time.")]


class Proof(BaseModel):
    """That this node has the fleet's token, without telling it."""

    node: str
    proof: str
