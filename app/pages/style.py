"""The pages' stylesheets as one: a browser paints nothing before it has them all, and each costs it a round trip."""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import blake2s

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.pages.page import ROOT, build
from app.web.gate import KEPT

router = APIRouter(include_in_schema=False)

PARTS = (
    "style/tokens.css",
    "style/base.css",
    "style/frame.css",
    "style/rooms.css",
    "style/nodes.css",
    "style/tables.css",
    "style/charts.css",
    "style/server.css",
    "style/doorway.css",
    "style/tap.css",
    "style/happenings.css",
    "style/settings.css",
    "style/source.css",
    "style/loop.css",
    "style/lab.css",
    "style/glass.css",
    "style/terminal.css",
    "style/walk.css",
    "style/contrast.css",
    "style/print.css",
    "vendor/xterm/css/xterm.css",
    "vendor/uplot/dist/uPlot.min.css",
)
"""In static/; of equal weight, the later rule wins."""


@cache
def joined() -> tuple[str, str]:
    """Their text, and its tag (RFC 9110, 8.8.3)."""
    text = "\n".join((ROOT / "static" / part).read_text(encoding="utf-8") for part in PARTS)
    return text, f'"{blake2s(text.encode(), digest_size=8).hexdigest()}"'


@cache
def packed() -> bytes:
    return gzip.compress(joined()[0].encode())


@router.get("/ui/style.css")
async def style(request: Request) -> Response:
    text, tag = joined()
    kept = request.query_params.get("build") == build()
    headers = {"etag": tag, "cache-control": KEPT if kept else "no-cache", "vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed(), media_type="text/css", headers=headers | {"content-encoding": "gzip"})
    return Response(text, media_type="text/css", headers=headers)
