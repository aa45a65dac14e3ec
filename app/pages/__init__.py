"""The pages that a browser gets, complete without JavaScript: one file a page; what all of them have is in ``page``.

Imports: across, addresses, clock, connections, errors, fleet, loop, shapes, supervising, terminals, watching, web.
Imported by: glass, measuring, program.
"""

from fastapi import APIRouter

from app.pages import dashboard, exceptions, loop, reader, server, style
from app.pages.page import ROOT, build, prepare, problem_page
from app.pages.reader import login_page

__all__ = ["ROOT", "build", "login_page", "prepare", "problem_page", "router"]

router = APIRouter()
for _page in (server, dashboard, exceptions, loop, style, reader):  # a server's own forms before those of any
    router.include_router(_page.router)
