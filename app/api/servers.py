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
    PreconditionFailed,
    ReadOnly,
    ShuttingDown,
    Unknown,
)
from app.shapes.openapi import ETAG, Responses, described
from app.shapes.series import SeriesShape
from app.shapes.servers import Servers, ServerShape
from app.supervising.server import Server
from app.supervising.spec import ServerPatch, ServerSpec
from app.web.parameters import After, Last, Limit, Match, Step, cut, page_of, position, supervisor
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


CREATED: Responses = {201: {"headers": described({"Location": "The server's address.", **ETAG})}}
WITH_ETAG: Responses = {200: {"headers": described(ETAG)}}


def _answer(server: Server, response: Response) -> ServerShape:
    response.headers["ETag"] = server.etag
    return ServerShape.of(server)


@router.post("", status_code=201, responses=CREATED | responses(NameTaken, *CANNOT_LISTEN, *CANNOT_WRITE))
async def create_server(request: Request, response: Response, spec: ServerSpec) -> ServerShape:
    """Create a server and, unless `start` is false, answer once it listens."""
    server = await supervisor(request).create(spec)
    response.headers["Location"] = at(f"/servers/{server.name}")
    return _answer(server, response)


@router.get("/{name}", responses=WITH_ETAG | responses(Unknown, Invalid))
async def get_server(request: Request, response: Response, name: str) -> ServerShape:
    """One server, as it is now. Its `ETag` is that of its spec, and changes with the spec, not with the counters."""
    item = _answer(supervisor(request).server(name), response)
    await supervisor(request).chronicle.flushed()
    return item


@router.get("/{name}/series", responses=responses(Unknown, Invalid))
async def get_series(request: Request, name: str, every: Step = 1, last: Last = None) -> SeriesShape:
    """What was, over time: ten minutes by the second, a day by the minute."""
    found = supervisor(request)
    return SeriesShape.of(found.series, found.server(name), every, last)


@router.patch(
    "/{name}", responses=WITH_ETAG | responses(Unknown, NotStopped, PreconditionFailed, *CANNOT_LISTEN, *CANNOT_WRITE)
)
async def change_server(
    request: Request, response: Response, name: str, patch: ServerPatch, if_match: Match
) -> ServerShape:
    """Change limits and policy at any time; host, port and variant while it is stopped. All of it or nothing.

    With `If-Match`, only if nobody else has changed the spec meanwhile.
    """
    return _answer(await supervisor(request).change(name, patch, if_match), response)


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


@router.delete("/{name}", status_code=204, responses=responses(Unknown, Invalid, PreconditionFailed, *CANNOT_WRITE))
async def remove_server(request: Request, name: str, if_match: Match) -> None:
    """Stop it and forget it; with `If-Match`, only if nobody has changed its spec meanwhile."""
    await supervisor(request).remove(name, if_match)
