"""``/nodes``: the fleet, as this node knows it."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Query, Request

from app.across.nodes import node_shape, node_shapes
from app.api.problems import responses, rest_router
from app.errors import (
    EngineSilent,
    ForeignOrigin,
    Invalid,
    LastNode,
    NodeLost,
    NodeSilent,
    ReadOnly,
    TokenRequired,
    Unknown,
)
from app.fleet.fleet import Fleet
from app.fleet.peers import PROOF_PATH
from app.shapes.nodes import Nodes, NodeShape, Proof

router = rest_router(tags=["nodes"])

CANNOT_CHANGE = (Unknown, Invalid, EngineSilent, NodeLost, NodeSilent, ReadOnly, ForeignOrigin)


def _fleet(request: Request) -> Fleet:
    found: Fleet | None = request.app.state.fleet
    if found is None:
        raise Unknown("This app is no node of a fleet; start it with --fleet.", what="fleet")
    return found


@router.get("/nodes", responses=responses(Unknown, Invalid))
async def list_nodes(request: Request) -> Nodes:
    """All nodes that there are, and those that were lost since this one began."""
    fleet: Fleet | None = request.app.state.fleet
    if fleet is None:
        return Nodes(items=[], missing=[])
    shapes = await node_shapes(fleet)
    return Nodes(items=shapes, missing=[one.name for one in shapes if one.servers is None])


@router.get("/nodes/{name}", responses=responses(Unknown, Invalid))
async def get_node(request: Request, name: str) -> NodeShape:
    """One node of the fleet."""
    return await node_shape(_fleet(request), name)


@router.post("/nodes/{name}/drain", responses=responses(LastNode, *CANNOT_CHANGE))
async def drain_node(request: Request, name: str) -> NodeShape:
    """Have it take nothing more; answer once what floats was given to other nodes."""
    fleet = _fleet(request)
    fleet.check_node(name)
    await fleet.drain()
    return await node_shape(fleet, name)


@router.post("/nodes/{name}/resume", responses=responses(*CANNOT_CHANGE))
async def resume_node(request: Request, name: str) -> NodeShape:
    """Have it take servers again."""
    fleet = _fleet(request)
    fleet.check_node(name)
    await fleet.resume()
    return await node_shape(fleet, name)


@router.get(PROOF_PATH, responses=responses(Unknown, Invalid, TokenRequired), include_in_schema=False)
async def prove(
    request: Request,
    nonce: Annotated[str, Query(min_length=8, max_length=64)],
    proof: Annotated[str, Query(min_length=64, max_length=64)],
) -> Proof:
    """Only whoever has the token learns that this node has it."""
    fleet = _fleet(request)
    proofs = fleet.peers.proofs
    if not hmac.compare_digest(proof.encode(), proofs.asking(nonce, fleet.life).encode()):
        raise ReadOnly("That is not proved with this fleet's token.")
    return Proof(node=fleet.node, proof=proofs.answering(nonce, fleet.life, fleet.node))
