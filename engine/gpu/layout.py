"""Where the segments of a pass lie in its rows, as the kernels read it.

Every segment begins at a multiple of TILE_ROWS rows, so that a tile of queries belongs to one. The
rows between and behind them are dead: they hold token 0 at position 0, go to no expert and are
written nowhere. So passes of one shape differ in numbers on the device alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from palimpsest.engine.page_table import PageTable
from palimpsest.engine.pages import PAGE_TOKENS, Window, first_seen
from palimpsest.kernels.fused.segment_table import (
    CANVAS,
    CAUSAL,
    PICTURE,
    TILE_ROWS,
    SegmentTable,
)

Fields = dict[str, tuple[torch.dtype, int]]
"""Of `Packed`."""
Numbers = Mapping[str, np.ndarray]

_TABLE = ("first_row", "rows", "start", "kind")
_DEAD = {"token_ids": 0, "positions": 0, "alive": 0}
_DEAD |= dict.fromkeys(("canvas_rows", "shown_rows", "tile_segment"), -1)
"""What stands where there is no segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A segment, as the host knows it."""

    table: PageTable
    version: int
    """Of the table: equal parts lie alike."""
    start: int
    """Position of the first token."""
    length: int
    token_ids: Sequence[int] | None
    """None for a canvas, whose tokens the device has."""
    shows: bytes | None
    """The key of the picture that it is, all of it."""

    @classmethod
    def of(
        cls,
        table: PageTable,
        *,
        start: int,
        length: int,
        token_ids: Sequence[int] | None = None,
        shows: bytes | None = None,
    ) -> Part:
        return cls(
            table=table,
            version=table.version,
            start=start,
            length=length,
            token_ids=token_ids,
            shows=shows,
        )

    @property
    def kind(self) -> int:
        """As the segment table has it."""
        if self.token_ids is None:
            return CANVAS
        return CAUSAL if self.shows is None else PICTURE

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class PassShape:
    """What a pass has room for."""

    rows: int
    """T, a multiple of TILE_ROWS."""
    canvases: int
    """B"""
    canvas_length: int
    """C"""

    @property
    def segments(self) -> int:
        """As many as there can be."""
        return self.rows // TILE_ROWS

    @classmethod
    def of(cls, parts: Sequence[Part], canvas_length: int) -> PassShape:
        """The least that holds these parts."""
        return cls(
            rows=sum(padded(part.length) for part in parts),
            canvases=sum(part.token_ids is None for part in parts),
            canvas_length=canvas_length,
        )

    def rounded(self) -> PassShape:
        """One that many passes share: up to a quarter more canvases, and rows for other segments
        by powers of two.
        """
        canvases = -(-self.canvases // (step := _quarter(self.canvases))) * step
        of_canvas = padded(self.canvas_length)
        other_tiles = max(0, self.rows - self.canvases * of_canvas) // TILE_ROWS
        other_rows = TILE_ROWS * (1 << (other_tiles - 1).bit_length()) if other_tiles else 0
        return replace(self, rows=canvases * of_canvas + other_rows, canvases=canvases)


def padded(length: int) -> int:
    """Rows of whole tiles."""
    return -(-length // TILE_ROWS) * TILE_ROWS


def _quarter(count: int) -> int:
    """Of the power of two below."""
    return max(1, 1 << max(0, (count - 1).bit_length() - 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class PassLayout:
    """T rows, some of them among the L = B · C of canvases."""

    token_ids: Tensor
    """[T] int32; where no canvas is."""
    positions: Tensor
    """[T] int32"""
    alive: Tensor
    """[T] bool: rows of a segment."""
    canvas_rows: Tensor
    """[T] int32: which of the L a row is; -1 for all others."""
    shown_rows: Tensor
    """[T] int32: which row of pictures a row is; -1 for all others."""
    rows_of_canvases: Tensor
    """[L] int64: their rows; 0 where a canvas is shorter or there is none."""
    slots: dict[Window, Tensor]
    """[T] int32 by kind of layer: the row of the cache where keys and values stay, or -1."""
    tables: dict[Window, SegmentTable]
    """By kind of layer."""


def fields(shape: PassShape, windows: Iterable[Window], *, context_tokens: int) -> Fields:
    """What a layout consists of; lists of pages, the longest one last, have room for as many as the
    segments can see in sequences of `context_tokens`.
    """
    whole, windows = torch.int32, _ordered(windows)
    names = ("token_ids", "positions", "canvas_rows", "shown_rows")
    rows = dict.fromkeys(names, (whole, shape.rows))
    rows |= {_slots(window): (whole, shape.rows) for window in windows}
    table = {"tile_segment": (whole, shape.rows // TILE_ROWS)}
    table |= dict.fromkeys((*_TABLE, *map(_offset, windows)), (whole, shape.segments))
    lists = {}
    for window in windows:
        seen = context_tokens if window is None else min(window, context_tokens)
        lists[_pages(window)] = (whole, shape.segments * (seen // PAGE_TOKENS + 2))
    of_canvases = {"rows_of_canvases": (torch.int64, shape.canvases * shape.canvas_length)}
    return of_canvases | {"alive": (torch.bool, shape.rows)} | rows | table | lists


def layout_of(there: Mapping[str, Tensor], windows: Iterable[Window]) -> PassLayout:
    """The fields on the device, by their purpose."""
    windows = _ordered(windows)
    table = {name: there[name] for name in ("tile_segment", *_TABLE)}
    tables = {
        window: SegmentTable(
            **table, page_offset=there[_offset(window)], pages=there[_pages(window)]
        )
        for window in windows
    }
    rows = (
        "token_ids",
        "positions",
        "alive",
        "canvas_rows",
        "shown_rows",
        "rows_of_canvases",
    )
    return PassLayout(
        **{name: there[name] for name in rows},
        slots={window: there[_slots(window)] for window in windows},
        tables=tables,
    )


def lay_out(
    parts: Sequence[Part], here: Numbers, windows: Iterable[Window], *, canvas_length: int
) -> tuple[str, int]:
    """Writes the layout of `parts`, in their order; returns the last field and how much of it
    counts.
    """
    windows = _ordered(windows)
    for name, filling in (_DEAD | {_slots(window): -1 for window in windows}).items():
        here[name].fill(filling)
    here["rows_of_canvases"].fill(0)
    row = canvas = shown = 0
    for index, part in enumerate(parts):
        here["tile_segment"][row // TILE_ROWS : (row + padded(part.length)) // TILE_ROWS] = index
        numbers = (row, part.length, part.start, part.kind)
        for name, number in zip(_TABLE, numbers, strict=True):
            here[name][index] = number
        rows = slice(row, row + part.length)
        here["positions"][rows] = np.arange(part.start, part.end)
        here["alive"][rows] = 1
        if part.token_ids is None:
            places = slice(canvas * canvas_length, canvas * canvas_length + part.length)
            here["canvas_rows"][rows] = np.arange(places.start, places.stop)
            here["rows_of_canvases"][places] = np.arange(rows.start, rows.stop)
            canvas += 1
        else:
            here["token_ids"][rows] = part.token_ids
            if part.shows is not None:
                here["shown_rows"][rows] = np.arange(shown, shown + part.length)
                shown += part.length
            for window in windows:
                here[_slots(window)][rows] = _slots_of(part, window)
        row += padded(part.length)
    counts = [_list_pages(parts, here, window) for window in windows]
    return _pages(windows[-1]), counts[-1]


def _list_pages(parts: Sequence[Part], here: Numbers, window: Window) -> int:
    """The pages before each part that it can see; returns how many."""
    count = 0
    for index, part in enumerate(parts):
        first = first_seen(window, part.start)
        pages = part.table.pages(window, first, part.start)[0] if first < part.start else []
        here[_offset(window)][index] = count - first // PAGE_TOKENS
        here[_pages(window)][count : count + len(pages)] = pages
        count += len(pages)
    return count


def _slots_of(part: Part, window: Window) -> np.ndarray:
    pages, offset = part.table.pages(window, part.start, part.end)
    rows = np.array(pages)[:, None] * PAGE_TOKENS + np.arange(PAGE_TOKENS)
    return rows.flatten()[offset : offset + part.length]


def _ordered(windows: Iterable[Window]) -> list[Window]:
    """The one that sees most comes last."""
    return sorted(windows, key=lambda window: (window is None, window))


def _slots(window: Window) -> str:
    return f"slots {window}"


def _offset(window: Window) -> str:
    return f"page_offset {window}"


def _pages(window: Window) -> str:
    return f"pages {window}"
