"""How long the device was at work, by its own clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


class DeviceClock:
    """A pair of CUDA events around launches; where there is no CUDA device, nothing is measured.

    Events are marks in the stream: nobody waits for them, and they are read once the caller has
    waited for the launches anyway.
    """

    def __init__(self, device: torch.device) -> None:
        self._marks: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
        if device.type == "cuda":
            first = torch.cuda.Event(enable_timing=True)
            self._marks = first, torch.cuda.Event(enable_timing=True)

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Launches in here, on the current stream, are timed."""
        if self._marks is None:
            yield
            return
        first, last = self._marks
        first.record()
        yield
        last.record()

    def elapsed_ns(self) -> int | None:
        """Of the last launches, which are done; None where nothing is measured."""
        if self._marks is None:
            return None
        first, last = self._marks
        return round(first.elapsed_time(last) * 1e6)
