"""``WS /servers/{name}/terminal``."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from app.supervising.supervisor import Supervisor
from app.terminals.page_end import hand_over_of
from app.terminals.subprotocol import RAW, V1
from app.terminals.terminals import Terminals

router = APIRouter()


@router.websocket("/servers/{name}/terminal")
async def terminal(websocket: WebSocket, name: str) -> None:
    supervisor: Supervisor = websocket.app.state.supervisor
    terminals: Terminals = websocket.app.state.terminals
    server = supervisor.server(name)
    offered = websocket.scope["subprotocols"]
    chosen = next((known for known in (V1, RAW) if known in offered), None)
    tells_taken = websocket.query_params.get("taken") == "1"
    await websocket.accept(chosen)
    await terminals.serve(hand_over_of(websocket.scope), server, v1=chosen == V1, tells_taken=tells_taken)
