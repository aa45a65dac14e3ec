"""The nodes of a fleet."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NODE_STATES = {
    "ready": "ready",
    "draining": "gives its servers away",
    "fenced": "cut off from the engine",
    "lost": "lost",
}
"""By state, in words."""


ETCD_STATES = {
    "healthy": "healthy",
    "degraded": "works, with trouble",
    "failing": "the fleet cannot be changed",
}
ETCD_TROUBLES = {
    "unavailable": "does not answer this node",
    "no-leader": "has no leader",
    "refused": "refuses this node",
    "nospace": "alarm NOSPACE: the database is full",
    "corrupt": "alarm CORRUPT: members differ in what they store",
    "keys-lost": "has lost the fleet's keys; floating servers do not run",
    "other-cluster": "belongs to another cluster now",
    "member-silent": "does not answer",
    "nearly-full": "the database is nearly full",
}
"""By kind, in words that follow the member's name, or etcd's."""


class EtcdMemberShape(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    url: Annotated[str | None, Field(description="At which this node asks it, or its own of clients.")]
    answers: Annotated[bool | None, Field(description="Null: it is not asked, as `--fleet` does not have it.")]
    leader: bool
    version: Annotated[str | None, Field(description="Null, as what follows, unless it answers.")]
    database_bytes: int | None
    quota_bytes: Annotated[int | None, Field(description="That its database may have (`--quota-backend-bytes`).")]


class EtcdTroubleShape(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    kind: Annotated[str, Field(json_schema_extra={"enum": [*ETCD_TROUBLES]})]
    member: Annotated[str | None, Field(description="Its name, or URL; null for all of etcd.")]
    detail: str


class EtcdShape(BaseModel):
    """etcd as one node observes it: every 10 s, and after a call that failed."""

    model_config = ConfigDict(from_attributes=True)

    state: Annotated[
        Literal["healthy", "degraded", "failing"],
        Field(description="degraded: it works, with trouble; failing: nothing of the fleet can change."),
    ]
    at: datetime
    cluster: Annotated[str | None, Field(description="Its id, hexadecimal.")]
    leader: Annotated[str | None, Field(description="The member's name, as far as is known.")]
    members: list[EtcdMemberShape]
    alarms: Annotated[list[str], Field(description="`NOSPACE`, `CORRUPT`.")]
    database_bytes: Annotated[int | None, Field(description="Of the member that is the nearest to its quota.")]
    quota_bytes: Annotated[int | None, Field(description="Of the same member.")]
    troubles: list[EtcdTroubleShape]


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
    etcd: Annotated[EtcdShape | None, Field(description="As it observes it; null if it does not answer.")] = None


class Nodes(BaseModel):
    items: list[NodeShape]
    missing: Annotated[list[str], Field(description="Nodes that did not answer in time.")]


class Proof(BaseModel):
    """That this node has the fleet's token, without telling it."""

    node: str
    proof: str
