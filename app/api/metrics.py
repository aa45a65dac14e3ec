"""``/metrics``."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response

from app.api.problems import responses, rest_router
from app.web.metrics import Metrics

router = rest_router()


@router.get("/metrics", tags=["metrics"], response_class=PlainTextResponse, responses=responses())
async def scrape(request: Request) -> Response:
    """Servers, connections, exceptions and the loop, in Prometheus' text format or OpenMetrics."""
    metrics: Metrics = request.app.state.metrics
    text, media_type = await metrics.text(request.headers.get("accept", ""))
    return Response(text, media_type=media_type)
