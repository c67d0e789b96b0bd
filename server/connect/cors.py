"""Which pages of other origins may call the server."""

from __future__ import annotations

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

RESPONSE_HEADERS = (
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "retry-after",
    "x-request-id",
    "x-should-retry",
)
"""What a page may read of a response."""
PREFLIGHT_S = 7_200
"""How long a browser may remember what it was allowed; the longest that any honours."""


def with_cors(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """`app`, for pages of `origins` too; `*` is all of them. Without any, `app` itself."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=tuple(origins),
        allow_methods=("GET", "POST"),
        allow_headers=("*",),  # clients of OpenAI's API tell much of themselves
        expose_headers=RESPONSE_HEADERS,
        max_age=PREFLIGHT_S,
    )
