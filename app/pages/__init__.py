"""The pages: what the browser gets, complete without JavaScript. One file a page; what they share is in ``page``."""

from fastapi import APIRouter

from app.pages import dashboard, exceptions, loop, server, style, visitor
from app.pages.page import ROOT, prepare, problem_page
from app.pages.visitor import login_page

__all__ = ["ROOT", "login_page", "prepare", "problem_page", "router"]

router = APIRouter()
for _page in (server, dashboard, exceptions, loop, style, visitor):  # a server's own forms before those of any
    router.include_router(_page.router)
