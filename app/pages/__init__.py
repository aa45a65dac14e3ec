"""The pages: what the browser gets, complete without JavaScript. One file a page; what they share is in ``page``."""

from fastapi import APIRouter

from app.pages import dashboard, exceptions, loop, server, visitor
from app.pages.page import ROOT
from app.pages.visitor import login_page

__all__ = ["ROOT", "login_page", "router"]

router = APIRouter()
for _page in (dashboard, server, exceptions, loop, visitor):
    router.include_router(_page.router)
