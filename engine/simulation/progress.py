"""A bar on the terminal for what takes longer than a moment."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_S = 1.0
_EVERY_S = 0.1


class Bar:
    """Requests that have ended, over all rates. Shown after a second, and only to people."""

    def __init__(self, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("requests", total=total)
        self._next_s = time.monotonic() + PATIENCE_S

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, ended: int) -> None:
        """So many requests have ended."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _EVERY_S
            self._progress.start()
            self._progress.update(self._task, completed=ended)
