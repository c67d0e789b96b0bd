"""How much memory the files of requests in flight take together. They are held from arrival to the
answer's end, so that a queue of large ones would take any amount.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from palimpsest.engine.api import Overloaded
from palimpsest.server.prompts import ChatPrompt, ImagePart, Prompt, VideoPart

_RETRY_AFTER_S = 1.0


class Holding:
    """Counts the bytes of files."""

    def __init__(self, most: int) -> None:
        """Bytes of all requests; one alone may take more."""
        self._most = most
        self._held = 0

    @contextlib.contextmanager
    def hold(self, prompt: Prompt) -> Iterator[None]:
        """Around the answer to a prompt. Raises Overloaded where others hold too much."""
        size = _size(prompt)
        if size and self._held and self._held + size > self._most:
            raise Overloaded(
                f"images and videos of other requests take {self._held:,} bytes, and at most "
                f"{self._most:,} are held",
                _RETRY_AFTER_S,
            )
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def _size(prompt: Prompt) -> int:
    if not isinstance(prompt, ChatPrompt):
        return 0
    contents = [m.content for m in prompt.messages if isinstance(m.content, tuple)]
    return sum(_part_size(part) for content in contents for part in content)


def _part_size(part: object) -> int:
    match part:
        case ImagePart(data=data):
            return len(data)
        case VideoPart(data=data, frames=frames):
            return len(data) + sum(len(frame.data) for frame in frames)
    return 0
