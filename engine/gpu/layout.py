"""Where the segments of a pass lie in its rows, as the kernels read it: tensors on the device.

Every segment begins at a multiple of TILE_ROWS rows, so that a tile of queries belongs to one. The
rows between are dead: they hold token 0 at position 0, go to no expert and are written nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from palimpsest.engine.cache import PagedSequence
from palimpsest.engine.pages import PAGE_TOKENS, Window, first_seen
from palimpsest.engine.segments import Segment
from palimpsest.kernels.fused.segment_table import TILE_ROWS, SegmentTable


@dataclass(frozen=True, slots=True, kw_only=True)
class PassLayout:
    """T rows, a multiple of TILE_ROWS, of which L are of canvases."""

    token_ids: Tensor
    """[T] int32"""
    positions: Tensor
    """[T] int32"""
    alive: Tensor
    """[T] bool: rows of a segment."""
    canvas_rows: Tensor
    """[T] int32: which of the L a row is; -1 for all others."""
    rows_of_canvases: Tensor
    """[L] int64: their rows, in order."""
    slots: dict[Window, Tensor]
    """[T] int32 by kind of layer: the row of the cache where keys and values stay, or -1."""
    tables: dict[Window, SegmentTable]
    """By kind of layer."""


def lay_out(segments: Sequence[Segment], windows: Iterable[Window]) -> PassLayout:
    """Rows in the order of the segments, whose caches are paged."""
    device = segments[0].token_ids.device
    lengths = [len(segment.token_ids) for segment in segments]
    firsts = np.cumsum([0] + [-(-length // TILE_ROWS) * TILE_ROWS for length in lengths])
    places = np.concatenate([f + np.arange(n) for f, n in zip(firsts, lengths, strict=False)])
    canvas = np.repeat([not segment.causal for segment in segments], lengths)
    positions = np.concatenate([np.arange(s.start, s.end) for s in segments])

    def spread(values: np.ndarray, filling: int) -> Tensor:
        rows = np.full(firsts[-1], filling, np.int32)
        rows[places] = values
        return torch.from_numpy(rows).to(device)

    where = torch.from_numpy(places).to(device)
    tokens = torch.cat([segment.token_ids for segment in segments]).to(torch.int32)
    return PassLayout(
        token_ids=tokens.new_zeros(int(firsts[-1])).index_copy_(0, where, tokens),
        positions=spread(positions, 0),
        alive=spread(np.ones_like(positions), 0).bool(),
        canvas_rows=spread(np.where(canvas, canvas.cumsum() - 1, -1), -1),
        rows_of_canvases=where[torch.from_numpy(canvas).to(device)],
        slots={
            window: spread(np.concatenate([_slots(s, window) for s in segments]), -1)
            for window in windows
        },
        tables={window: _table(segments, firsts, window) for window in windows},
    )


def _slots(segment: Segment, window: Window) -> np.ndarray:
    if not segment.causal:
        return np.full(len(segment.token_ids), -1)
    pages, offset = _pages(segment, window, segment.start, segment.end)
    rows = np.array(pages)[:, None] * PAGE_TOKENS + np.arange(PAGE_TOKENS)
    return rows.flatten()[offset : offset + len(segment.token_ids)]


def _table(segments: Sequence[Segment], firsts: np.ndarray, window: Window) -> SegmentTable:
    device = segments[0].token_ids.device
    seen = [first_seen(window, segment.start) for segment in segments]
    pages = [_pages(s, window, f, s.start)[0] for s, f in zip(segments, seen, strict=True)]
    listed = np.zeros((len(segments), max(1, *map(len, pages))), np.int32)
    for row, of_segment in zip(listed, pages, strict=True):
        row[: len(of_segment)] = of_segment
    tiles = np.diff(firsts) // TILE_ROWS

    def column(values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.int32, device=device)

    return SegmentTable(
        first_row=column(firsts[:-1].tolist()),
        rows=column(len(segment.token_ids) for segment in segments),
        start=column(segment.start for segment in segments),
        causal=column(segment.causal for segment in segments),
        pages=torch.from_numpy(listed).to(device),
        first_page=column(first // PAGE_TOKENS for first in seen),
        tile_segment=column(np.repeat(np.arange(len(segments)), tiles).tolist()),
    )


def _pages(segment: Segment, window: Window, start: int, end: int) -> tuple[list[int], int]:
    cache = segment.cache
    assert isinstance(cache, PagedSequence), "the kernels read paged caches"
    return cache.table.pages(window, start, end) if start < end else ([], 0)
