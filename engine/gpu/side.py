"""Launches beside others, on a stream of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


class Side:
    """Where there are no streams, what is beside comes before.

    A graph that is captured keeps both branches. What is made beside may be used after `join`, and
    what it reads must be kept until then.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Launches in here wait for those before, and nobody waits for them until `join`."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """What is launched from here on waits for what was launched beside."""
        if self._stream is not None:
            torch.cuda.current_stream().wait_stream(self._stream)
