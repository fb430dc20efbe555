"""Health of a process over HTTP: whether it lives, whether it is ready, and its metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from shared import metrics

if TYPE_CHECKING:
    from fastapi import FastAPI

    from shared.runtime import Service


def add_health(app: FastAPI, service: Service) -> None:
    """Add `/live`, `/ready` and `/metrics`, also under the service's own prefix."""

    async def live() -> dict[str, str]:
        """Answer while the event loop turns."""
        return {"status": "live"}

    async def ready() -> Response:
        """Answer 200 while the own database answers at a schema this code knows."""
        report = await service.readiness()
        return JSONResponse(report, 200 if report["ready"] else 503)

    async def shown_metrics() -> Response:
        """Answer this process's metrics as OpenMetrics 1.0 text; nothing is asked for them."""
        shown = await asyncio.to_thread(metrics.render, service.settings.service)
        return Response(shown, media_type=CONTENT_TYPE_LATEST)

    prefix = f"/{service.settings.service}/v1"
    for path, endpoint in (("/live", live), ("/ready", ready), ("/metrics", shown_metrics)):
        app.add_api_route(path, endpoint, include_in_schema=False, response_model=None)
        app.add_api_route(prefix + path, endpoint, include_in_schema=False, response_model=None)
