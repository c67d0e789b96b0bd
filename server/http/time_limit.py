"""An end to what waits for its client: for a body that does not come, or a reader who reads no
more.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from palimpsest.server.call import GRACE_S


class TimeLimit:
    """An ASGI app around another, which is cancelled when a request takes too long.

    Answers end by themselves at the limit of their call; this is for those that cannot.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = asyncio.timeout(self._seconds + GRACE_S)
        try:
            async with limit:
                await self._app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
