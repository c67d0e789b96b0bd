"""Progress of loading on standard error: a bar on a terminal, a few plain lines anywhere else."""

from __future__ import annotations

from typing import TextIO

from palimpsest.engine.api import Loading

BAR_WIDTH = 30
LINES = 4
"""Plain lines for the whole of it."""


class Progress:
    """Draws Loading events on one stream; `end` leaves the cursor at the start of a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._drawn = False
        self._next_share = 0.0

    def show(self, progress: Loading) -> None:
        share = progress.done_bytes / max(progress.total_bytes, 1)
        figures = f"{progress.done_bytes / 1e6:.0f} of {progress.total_bytes / 1e6:.0f} MB"
        if self._is_terminal:
            filled = round(BAR_WIDTH * share)
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            self._stream.write(f"\rloading {bar} {share:4.0%}  {figures} ")
            self._drawn = True
        elif share >= self._next_share:
            self._stream.write(f"loading: {figures}\n")
            self._next_share = (int(share * LINES) + 1) / LINES
        self._stream.flush()

    def end(self) -> None:
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
        self._drawn = False
        self._next_share = 0.0
