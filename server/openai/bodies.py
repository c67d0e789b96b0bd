"""The JSON object that a request carries: read within a limit, and whatever it is, refused well."""

from __future__ import annotations

import json
from typing import NoReturn

from starlette.requests import Request

from palimpsest.server.openai.errors import ApiError
from palimpsest.server.openai.members import Members

_READ_ANYWAY = 8
"""A client that sends too much sees why only when it has sent it all; so many times the limit are
waited for."""


async def json_body(request: Request, max_bytes: int) -> Members:
    """Raises ApiError."""
    body = await _read(request, max_bytes)
    try:
        # what UTF-8 cannot say is found here, and not in each field
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise too_deep() from None
    except ValueError as problem:
        raise _bad_body(str(problem)) from None
    if not isinstance(value, dict):
        raise _bad_body(f"it is {json.dumps(value)[:40]}, not an object")
    return Members(value)


def too_deep() -> ApiError:
    """For a body that cannot be walked through."""
    return _bad_body("it is nested too deeply")


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= max_bytes:
            chunks.append(chunk)
        elif size > _READ_ANYWAY * max_bytes:
            break
        else:
            chunks.clear()
    if size > max_bytes:
        message = f"the body is larger than {max_bytes:,} bytes"
        raise ApiError(413, message, code="body_too_large")
    return b"".join(chunks)


def _bad_body(reason: str) -> ApiError:
    return ApiError(400, f"the body is no JSON object to act on: {reason}", code="invalid_json")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
