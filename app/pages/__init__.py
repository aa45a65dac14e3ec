"""The pages that a browser gets, complete without JavaScript: one file a page; what all of them have is in ``page``.

Imports: across, addresses, clock, connections, errors, fleet, loop, shapes, supervising, terminals, watching, web.
Imported by: glass, measuring, program.
"""

from app.pages import dashboard, exceptions, loop, reader, server, style
from app.pages.page import ROOT, build, environment, problem_page, read_catalogues, templates
from app.pages.reader import login_page

__all__ = ["ROOT", "build", "environment", "login_page", "problem_page", "read_catalogues", "routers", "templates"]

routers = [page.router for page in (server, dashboard, exceptions, loop, style, reader)]
"""A server's own forms come before those of any."""
