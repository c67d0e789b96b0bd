"""The HTTP port as one ASGI app: probes, metrics, and the doors that are mounted beside them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from palimpsest.server.health import Health, Phase
from palimpsest.server.metrics import Metrics


def http_app(health: Health, metrics: Metrics, routes: Sequence[BaseRoute]) -> Starlette:
    """`routes` are those of all doors; the first that matches a path answers it."""

    async def alive(_: Request) -> JSONResponse:
        """Whether the process lives, which is all that a restart could mend."""
        return JSONResponse({"status": health.phase.value})

    async def ready(_: Request) -> JSONResponse:
        """Whether requests are answered."""
        serving = health.phase is Phase.SERVING
        return JSONResponse({"status": health.phase.value}, 200 if serving else 503)

    async def counted(request: Request) -> Response:
        """For Prometheus."""
        content, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})

    return Starlette(
        routes=[
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/metrics", counted),
            *routes,
        ],
        exception_handlers={404: _nothing_here, 405: _nothing_here},
    )


async def _nothing_here(request: Request, error: Exception) -> JSONResponse:
    """In the shape of OpenAI's errors, as a base URL without `/v1` is the common cause."""
    assert isinstance(error, HTTPException)
    what = "no such path" if error.status_code == 404 else "no such method of this path"
    message = f"{request.method} {request.url.path}: {what}; OpenAI's API is at /v1"
    described = {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_url",
    }
    return JSONResponse({"error": described}, error.status_code, error.headers)
