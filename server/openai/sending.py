"""One response: a JSON object, or a stream of server-sent events. Knows ASGI, and no field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import Send

from palimpsest.server.http.request_ids import REQUEST_ID

DONE = "[DONE]"
"""What ends a stream that came to its end."""


class Reply:
    """Sends the response of one call."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.started = False
        """Whether there is no other status any more."""

    async def whole(
        self,
        body: Mapping[str, Any],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        written = _json(body)
        length = {"content-type": "application/json", "content-length": str(len(written))}
        await self._start(status, {**length, **(headers or {})})
        await self._send({"type": "http.response.body", "body": written})

    async def event(self, data: Mapping[str, Any] | str, *, name: str | None = None) -> None:
        """One event of a stream; waits for a slow reader."""
        if not self.started:
            kept_from_buffers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
            content = {"content-type": "text/event-stream; charset=utf-8"}
            await self._start(200, {**content, **kept_from_buffers})
        written = data.encode() if isinstance(data, str) else _json(data)
        kind = b"" if name is None else f"event: {name}\n".encode()
        body = kind + b"data: " + written + b"\n\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        """The end of a stream."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        raw = MutableHeaders({**headers, REQUEST_ID: self._request_id}).raw
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


def _json(body: Mapping[str, Any]) -> bytes:
    # ASCII: some readers of events end lines at separators of Unicode.
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
