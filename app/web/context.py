"""The parameters that routes share."""

from fastapi import Request

from app.errors import Unknown
from app.supervising.supervisor import Supervisor


def supervisor(request: Request) -> Supervisor:
    found: Supervisor = request.app.state.supervisor
    return found


def known_server(request: Request, name: str | None) -> None:
    """For filters: a server that exists, or that the journal or the exceptions still name.

    Raises:
        Unknown: neither is true.
    """
    if name is None:
        return
    found = supervisor(request)
    try:
        found.server(name)
    except Unknown:
        if not found.chronicle.exceptions(server=name) and not found.chronicle.entries(server=name):
            raise
