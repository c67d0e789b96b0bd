"""From an HTTP request to its Call, and the header that both name it in."""

from __future__ import annotations

from starlette.requests import Request

from palimpsest.server.call import Call
from palimpsest.server.reception import Reception
from palimpsest.server.tracing import HTTP

REQUEST_ID = "x-request-id"


def accepted(request: Request, method: str, reception: Reception) -> Call:
    """`method` is the path as the log shows it."""
    return reception.accept(
        method,
        request_id=request.headers.get(REQUEST_ID, ""),
        remaining_s=None,
        headers=request.headers,
        carrier=HTTP,
    )
