"""Metrics for a monitoring system."""

from __future__ import annotations

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from api import parameters
from api.routing import READ, Router
from api.site import site_of

router = Router()


@router.route("/metrics", READ)
def metrics(request: Request) -> Response:
    """Give the metrics in the Prometheus text format; 503 where the database does not answer."""
    parameters.read(request, [])
    text = site_of(request).metrics.exposition()
    return Response(text, headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
