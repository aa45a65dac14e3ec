"""What a route is given."""

from fastapi import Request

from app.errors import Unknown
from app.supervising.supervisor import Supervisor


def supervisor(request: Request) -> Supervisor:
    found: Supervisor = request.app.state.supervisor
    return found


def known_server(request: Request, name: str | None) -> None:
    """For filters: a server that is there, or of which something is still remembered.

    Raises:
        Unknown: there is none.
    """
    if name is None:
        return
    found = supervisor(request)
    try:
        found.server(name)
    except Unknown:
        if not found.chronicle.exceptions(server=name) and not found.chronicle.entries(server=name):
            raise
