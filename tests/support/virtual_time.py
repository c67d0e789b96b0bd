"""An event loop that never waits: what is waited for happens at once, on a clock of its own."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: _VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits and nobody will wake them")
        self._loop.now_s += timeout
        return super().select(0)


def run(story: Coroutine[None, None, T]) -> T:
    """Its result; fails where everybody waits and nobody would wake them."""
    loop = _VirtualTimeLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.close()
