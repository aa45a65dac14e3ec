"""``/servers``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from app.api.problems import responses, rest_router
from app.errors import (
    BodyTooLarge,
    ForeignOrigin,
    HostNotAllowed,
    Interrupted,
    Invalid,
    NameTaken,
    NotKept,
    NotStopped,
    OutOfDescriptors,
    PortNotAllowed,
    PortTaken,
    ReadOnly,
    ShuttingDown,
    Unknown,
)
from app.shapes.openapi import Responses
from app.shapes.series import SeriesShape
from app.shapes.servers import Servers, ServerShape
from app.supervising.spec import ServerPatch, ServerSpec
from app.web.parameters import After, Last, Limit, Step, cut, page_of, position, supervisor
from app.web.place import at

router = rest_router(prefix="/servers", tags=["servers"])

CANNOT_WRITE = (ReadOnly, ForeignOrigin, BodyTooLarge, NotKept)
CANNOT_LISTEN = (PortTaken, PortNotAllowed, HostNotAllowed, OutOfDescriptors, ShuttingDown, Invalid)


@router.get("", response_model=Servers, responses=responses(Invalid))
async def list_servers(request: Request, limit: Limit = 1000, after: After = None) -> Response:
    """All servers, in the order of their creation."""
    found = supervisor(request).servers(position("servers", after))
    page, following = cut("servers", found, limit, lambda server: server.serial)
    rows = [ServerShape.row(server) for server in page]
    await supervisor(request).chronicle.flushed()
    return page_of(rows, following)


LOCATION: Responses = {
    201: {"headers": {"Location": {"description": "The server's address.", "schema": {"type": "string"}}}}
}


@router.post("", status_code=201, responses=LOCATION | responses(NameTaken, *CANNOT_LISTEN, *CANNOT_WRITE))
async def create_server(request: Request, response: Response, spec: ServerSpec) -> ServerShape:
    """Create a server and, unless `start` is false, answer once it listens."""
    server = await supervisor(request).create(spec)
    response.headers["Location"] = at(f"/servers/{server.name}")
    return ServerShape.of(server)


@router.get("/{name}", responses=responses(Unknown, Invalid))
async def get_server(request: Request, name: str) -> ServerShape:
    """One server, as it is now."""
    item = ServerShape.of(supervisor(request).server(name))
    await supervisor(request).chronicle.flushed()
    return item


@router.get("/{name}/series", responses=responses(Unknown, Invalid))
async def get_series(request: Request, name: str, every: Step = 1, last: Last = None) -> SeriesShape:
    """What was, over time: ten minutes by the second, a day by the minute."""
    found = supervisor(request)
    return SeriesShape.of(found.series, found.server(name), every, last)


@router.patch("/{name}", responses=responses(Unknown, NotStopped, *CANNOT_LISTEN, *CANNOT_WRITE))
async def change_server(request: Request, name: str, patch: ServerPatch) -> ServerShape:
    """Change limits and policy at any time; host, port and variant while it is stopped. All of it or nothing."""
    return ServerShape.of(await supervisor(request).change(name, patch))


@router.post("/{name}/start", responses=responses(Unknown, Interrupted, *CANNOT_LISTEN, *CANNOT_WRITE))
async def start_server(request: Request, name: str) -> ServerShape:
    """Answer once it listens; a server that runs stays as it is."""
    return ServerShape.of(await supervisor(request).start(name))


@router.post("/{name}/stop", responses=responses(Unknown, Invalid, *CANNOT_WRITE))
async def stop_server(
    request: Request,
    name: str,
    drain: Annotated[
        float,
        Query(
            ge=0, le=3600, allow_inf_nan=False, description="Seconds that open connections get to end by themselves."
        ),
    ] = 0,
) -> ServerShape:
    """Answer once nothing of it runs. With `drain`, new clients are refused and those inside may finish."""
    return ServerShape.of(await supervisor(request).stop(name, drain))


@router.post("/{name}/restart", responses=responses(Unknown, Interrupted, *CANNOT_LISTEN, *CANNOT_WRITE))
async def restart_server(request: Request, name: str) -> ServerShape:
    """Stop it and start it; answer once it listens."""
    return ServerShape.of(await supervisor(request).restart(name))


@router.delete("/{name}", status_code=204, responses=responses(Unknown, Invalid, *CANNOT_WRITE))
async def remove_server(request: Request, name: str) -> None:
    """Stop it and forget it."""
    await supervisor(request).remove(name)
