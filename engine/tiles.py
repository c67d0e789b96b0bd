"""In which pieces the rows of logits are computed and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from palimpsest.engine.shapes import Logits

LogitsOf = Callable[[slice], Logits]
"""Raw fp32 logits of some rows of all canvases laid end to end."""
TILE_ELEMENTS = 2**24
"""Logits of one tile of rows: 64 MiB in fp32, of which a handful are alive at once."""


def tiles(rows: int, vocabulary: int) -> Iterator[slice]:
    """A power of two of rows each, so that a canvas is cut in the same places in any company."""
    height = 1 << max(4, (TILE_ELEMENTS // vocabulary).bit_length() - 1)
    for first in range(0, rows, height):
        yield slice(first, min(first + height, rows))
