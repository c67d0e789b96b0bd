"""Counts the answers under way, so that a server can finish them and take no new ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from palimpsest.engine.api import EngineStopped


class Gate:
    """Open until `close`."""

    def __init__(self) -> None:
        self._inside = 0
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Around one answer. Raises EngineStopped once the gate is closed."""
        if not self._open:
            raise EngineStopped("the server is shutting down; send the request to another")
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._empty.set()

    def close(self) -> None:
        """Let nobody in any more; those inside stay."""
        self._open = False

    async def wait_empty(self) -> None:
        """Returns when the last answer has ended."""
        await self._empty.wait()
