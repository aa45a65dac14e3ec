"""What a route is given."""

from fastapi import Request

from app.supervisor import Supervisor


def supervisor(request: Request) -> Supervisor:
    found: Supervisor = request.app.state.supervisor
    return found


def known_server(request: Request, name: str | None) -> None:
    """For filters: a server that is there, or of which something is still remembered.

    Raises:
        Unknown: there is none.
    """
    found = supervisor(request)
    if name is not None and not found.chronicle.exceptions(server=name) and not found.chronicle.entries(server=name):
        found.server(name)
