"""What a route is given."""

from fastapi import Request

from app.supervisor import Supervisor


def supervisor(request: Request) -> Supervisor:
    found: Supervisor = request.app.state.supervisor
    return found
