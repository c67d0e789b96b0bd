"""Which rows of a pass belong together, and where the keys and values before them lie.

A pass is T rows in tiles of 64. A tile belongs to one segment, a range of tokens of one sequence,
or to none; a segment begins with a tile. What lies behind its last row, up to the next tile, is
dead. All numbers are on the device, so that one captured graph serves whatever is running.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jaxtyping import Int
from torch import Tensor

CANVAS: Final = 0
"""A row sees all of its segment, and all rows the same of what comes before."""
CAUSAL: Final = 1
"""A row sees keys up to its own."""
PICTURE: Final = 2
"""A row sees all of its segment, and of what comes before what a causal row sees."""

TILE_ROWS: Final = 64
PAGE_TOKENS: Final = 64
"""Rows of the cache that follow each other."""

PerTile = Int[Tensor, " tiles"]
PerSegment = Int[Tensor, " S"]
PageList = Int[Tensor, " P"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTable:
    """The segments of a pass, for one kind of layer. All int32."""

    tile_segment: PerTile
    """Of each tile; -1 for none."""
    first_row: PerSegment
    """In the pass, a multiple of 64."""
    rows: PerSegment
    start: PerSegment
    """Absolute position of the first row."""
    kind: PerSegment
    """CANVAS, CAUSAL or PICTURE."""
    page_offset: PerSegment
    """Position x of the sequence of segment s is in page `pages[page_offset[s] + x // 64]`."""
    pages: PageList
    """Page p is the rows 64 · p to 64 · p + 63 of the cache."""

    def numbers(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """As the kernel of `attention` takes them."""
        return (
            self.tile_segment,
            self.first_row,
            self.rows,
            self.start,
            self.kind,
            self.page_offset,
            self.pages,
        )
