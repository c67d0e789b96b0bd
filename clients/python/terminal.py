"""A block of rows at the end of a terminal's output that is redrawn in place.

Rows are written over one another and only what sticks out is erased, all in one write that
terminals with synchronised output show at once: nothing flickers. The cursor is hidden while the
region is open and shown again on every way out. Knows nothing of what the rows show.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

HIDE_CURSOR = "\x1b[?25l"
SHOW_CURSOR = "\x1b[?25h"
BEGIN_FRAME = "\x1b[?2026h"
END_FRAME = "\x1b[?2026l"
ERASE_RIGHT = "\x1b[K"
ERASE_BELOW = "\x1b[J"


class Region:
    """Rows at the end of the output, open within a `with` block; left empty, it leaves no trace."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn_cells: list[int] = []
        """Width of each row that is on the screen."""

    @property
    def width(self) -> int:
        """Cells a row may have. The last column stays free: behind it terminals differ."""
        return max(1, self._console.width - 1)

    @property
    def height(self) -> int:
        """Rows that can be redrawn; what has scrolled off the screen cannot."""
        return max(1, self._console.height - 1)

    def draw(self, rows: Sequence[Text], *, above: Sequence[Text] = ()) -> None:
        """Puts `rows` in place of those drawn before, after printing `above` for good.

        Rows must fit `width`, and there must be at most `height` of them.
        """
        lines = [line + ERASE_RIGHT for line in self._ansi([*above, *rows])]
        if not rows:
            # The cursor waits at the start of the line after what was printed.
            lines.append("")
        self._write(BEGIN_FRAME + self._to_start() + "\n".join(lines) + ERASE_BELOW + END_FRAME)
        self._drawn_cells = [row.cell_len for row in rows]

    def __enter__(self) -> Region:
        self._write(HIDE_CURSOR)
        return self

    def __exit__(self, *_: object) -> None:
        # A terminal that is gone needs no mending, and must not hide why we leave.
        with contextlib.suppress(OSError, ValueError):
            self._write("\x1b[0m" + SHOW_CURSOR)

    def _to_start(self) -> str:
        """Moves to the region's first cell, also where a narrowed terminal has folded its rows."""
        width = self._console.width
        lines = sum(max(1, math.ceil(cells / width)) for cells in self._drawn_cells)
        return "\r" + (f"\x1b[{lines - 1}A" if lines > 1 else "")

    def _ansi(self, rows: Sequence[Text]) -> list[str]:
        if not rows:
            return []
        with self._console.capture() as captured:
            self._console.print(Text("\n").join(rows), end="", soft_wrap=True)
        return captured.get().split("\n")

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
