"""What is known of each node: from the engine, and from itself if it answers."""

from __future__ import annotations

import asyncio

from app.errors import NodeLost, NodeSilent
from app.fleet.fleet import Fleet, NodeState
from app.fleet.keys import NodeValue
from app.shapes.nodes import EtcdShape, NodeShape
from app.supervising.supervisor import Supervisor

SECONDS = 1.0


def own_shape(fleet: Fleet, supervisor: Supervisor) -> NodeShape:
    """Of this node itself."""
    value = fleet.value
    return NodeShape(
        name=fleet.node,
        url=value.url,
        state=fleet.state,
        since=value.since or None,  # type: ignore[arg-type]  # pydantic reads it
        version=value.version,
        servers=len(supervisor.servers()),
        connections=len(supervisor.roster),
        loop_share=None if (idle := supervisor.sampler.share_of("idle")) is None else round(1.0 - idle, 3),
        lease_left=round(fleet.fence.left, 2),
        serves_on=value.serves_on,
        etcd=None if fleet.health.latest is None else EtcdShape.model_validate(fleet.health.latest),
    )


async def node_shape(fleet: Fleet, name: str) -> NodeShape:
    """Raises:
    Unknown: there is and was no such node.
    """
    fleet.check_node(name)
    if name == fleet.node:
        return own_shape(fleet, fleet.supervisor)
    state, value = fleet.nodes()[name]
    if state != "lost":
        try:
            async with asyncio.timeout(SECONDS):
                answer = await fleet.peers.ask(name, "GET", f"/nodes/{name}", seconds=SECONDS)
            if answer.status_code == 200:
                return NodeShape.model_validate_json(answer.content)
        except (NodeLost, NodeSilent, TimeoutError, ValueError):
            pass
    return from_afar(name, state, value)


async def node_shapes(fleet: Fleet) -> list[NodeShape]:
    return list(await asyncio.gather(*(node_shape(fleet, name) for name in fleet.nodes())))


def from_afar(name: str, state: NodeState, value: NodeValue) -> NodeShape:
    """Of one that does not answer, or is not asked."""
    return NodeShape(
        name=name,
        url=value.url,
        state=state,
        since=value.since or None,  # type: ignore[arg-type]  # pydantic reads it
        version=value.version,
        servers=None,
        connections=None,
        loop_share=None,
        lease_left=None,
        serves_on=value.serves_on,
    )
