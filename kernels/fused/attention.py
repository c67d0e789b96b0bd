"""Attention of all segments of a pass over their cached prefixes and their own rows.

softmax(q kᵀ) v with scale 1, not 1/√D. A row of a causal segment sees `window` keys up to its own;
one of a picture these and all of the picture. Rows of a canvas see the whole canvas and, all of
them, the window - 1 keys before it (transformers, DiffusionGemma: the window of the decoder is that
of its cache). Keys before the segment are read from the cache, also those that `heads` wrote in
this pass.

The query heads of a key/value head are stacked along the rows of a tile, so keys and values are
read once. The keys of a tile are shared out to SPLITS programs, in whole tiles of keys; `combine`
adds up what they found, in order. How they are shared out depends on the segment alone.

With M keys seen by a row, 4 · M · N · D FLOPs a row, half as many again where values are in parts.
Reads T · N · D elements of queries and 2 · M · G · D of keys and values for each tile of queries;
writes 2 · SPLITS · T · N · D bytes of partial results and 8 · SPLITS · T · N of their sums. All is
contiguous; D, N and N / G are powers of two. Rows that nobody wrote may hold any keys, but their
values must be finite, as a weight of 0 does not cancel others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.attention import attention as plain_attention
from palimpsest.kernels.fused.combine import Partials, combine
from palimpsest.kernels.fused.heads import KeyValueRows
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.segment_table import (
    CANVAS,
    CAUSAL,
    PAGE_TOKENS,
    PICTURE,
    TILE_ROWS,
    SegmentTable,
)
from palimpsest.kernels.fused.target import has_tma
from palimpsest.kernels.shapes import Queries

SPLITS: Final = 4
"""With them a canvas of the released model makes 128 programs in sliding layers."""
TILE = tl.constexpr(TILE_ROWS)
PAGE = tl.constexpr(PAGE_TOKENS)
OF_CANVAS, OF_CAUSAL, OF_PICTURE = (tl.constexpr(kind) for kind in (CANVAS, CAUSAL, PICTURE))
LOG2E = tl.constexpr(1.4426950408889634)
LEAST = tl.constexpr(-1e38)
"""Below every score, but finite, so that it can be subtracted from itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    queries: int
    """Stacked rows."""
    keys: int
    values: int
    """Columns. Each part of a head has programs of its own, which compute all scores."""
    stages: int
    warps: int


def _tiles(width: int, *, tma: bool) -> Tiles:
    """What fits into registers and shared memory, of which there are 227 KB with a copy engine and
    99 KB without.
    """
    # 64 queries with all 512 columns would fit, too, but then both warp groups have the same rows,
    # and compute the same scores
    match tma, width > 256:
        case True, False:
            return Tiles(queries=128, keys=64, values=width, stages=2, warps=8)
        case True, True:
            return Tiles(queries=128, keys=32, values=width // 2, stages=2, warps=8)
        case _, False:
            return Tiles(queries=32, keys=32, values=width, stages=3, warps=4)
        case _:
            return Tiles(queries=32, keys=32, values=width, stages=2, warps=4)


def attention_reference(
    query: Queries,
    own: KeyValueRows,
    cache: KeyValueRows,
    table: SegmentTable,
    *,
    window: int | None,
    quantised: bool,
) -> Rounded:
    attended, device = torch.zeros_like(query), query.device
    for segment in range(table.rows.shape[0]):
        start, rows = int(table.start[segment]), int(table.rows[segment])
        here = slice(int(table.first_row[segment]), int(table.first_row[segment]) + rows)
        seen = start if window is None else min(start, window - 1)
        before = torch.arange(start - seen, start, device=device)
        pages = table.pages[table.page_offset[segment] + before // PAGE_TOKENS]
        slots = pages * PAGE_TOKENS + before % PAGE_TOKENS
        mask = None
        if (kind := int(table.kind[segment])) != CANVAS:
            place = torch.arange(-seen, rows, device=device)
            distance = torch.arange(rows, device=device)[:, None] - place
            mask = (distance >= 0) & (distance < (window or start + rows))
            if kind == PICTURE:
                mask |= place >= 0
        attended[here] = plain_attention(
            query=query[here],
            key=torch.cat((cache.keys[slots], own.keys[here])),
            value=torch.cat((cache.values[slots], own.values[here])),
            mask=mask,
        )
    return Rounded.of(attended.flatten(1), quantised=quantised)


def attention(
    query: Queries,
    own: KeyValueRows,
    cache: KeyValueRows,
    table: SegmentTable,
    *,
    window: int | None,
    quantised: bool,
    tma: bool | None = None,
) -> Rounded:
    """Rows [T, N · D]; zeros where nothing is to attend."""
    rows, heads, width = query.shape
    groups = own.keys.shape[1]
    share = heads // groups
    tma = has_tma() if tma is None else tma
    tiles = _tiles(width, tma=tma)
    tokens = min(tiles.queries // share, TILE_ROWS)
    assert rows % TILE_ROWS == 0 and share * groups == heads
    partials = Partials.empty(query, splits=SPLITS)
    key_tile, value_tile = [tiles.keys, width], [tiles.keys, tiles.values]
    _attention_kernel[(rows // tokens, groups * (width // tiles.values), SPLITS)](
        query,
        _by_tiles(cache.keys, key_tile, tma=tma),
        _by_tiles(cache.values, value_tile, tma=tma),
        _by_tiles(own.keys, key_tile, tma=tma),
        _by_tiles(own.values, value_tile, tma=tma),
        partials.values,
        partials.peaks,
        partials.sums,
        *table.numbers(),
        rows,
        WINDOW=window,
        SHARE=share,
        G=groups,
        D=width,
        TOKENS=tokens,
        KEYS=tiles.keys,
        VALUES=tiles.values,
        SPLITS=SPLITS,
        TMA=tma,
        num_stages=tiles.stages,
        num_warps=tiles.warps,
        **how_to_launch(),
    )
    return combine(partials, query, table, quantised=quantised)


def _by_tiles(rows: Tensor, tile: list[int], *, tma: bool) -> Tensor | TensorDescriptor:
    """Rows [M, G, D], to be read by tiles of [M, G · D]."""
    return TensorDescriptor.from_tensor(rows.flatten(1), tile) if tma else rows


@triton.jit
def _attention_kernel(
    query,
    cache_keys,
    cache_values,
    own_keys,
    own_values,
    partials,
    peaks,
    sums,
    tile_segment,
    first_row,
    segment_rows,
    starts,
    kinds,
    page_offset,
    pages,
    T,
    WINDOW: tl.constexpr,
    SHARE: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    SPLITS: tl.constexpr,
    TMA: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0) * TOKENS
    group = tl.program_id(1) // (D // VALUES)
    part = tl.program_id(1) % (D // VALUES)
    split = tl.program_id(2)
    segment = tl.load(tile_segment + row // TILE)
    if segment < 0:
        return
    base = tl.load(first_row + segment)
    rows = tl.load(segment_rows + segment)
    if row - base >= rows:
        return
    start = tl.load(starts + segment)
    kind = tl.load(kinds + segment)
    # tiles of keys: those of the prefix by position, then those of the segment from its start
    low, high, first, last = _sight(row - base, rows, start, kind, WINDOW, TOKENS, SHARE)
    first_before = first // KEYS
    first_own = tl.maximum(first - start, 0) // KEYS
    before = tl.maximum(tl.cdiv(start, KEYS) - first_before, 0)
    count = before + tl.cdiv(last, KEYS) - first_own
    portion = tl.cdiv(count, SPLITS)
    begin = split * portion
    end = tl.minimum(begin + portion, count)
    # relative to a scalar, or the addresses of queries alone would fill the registers
    origin = (row.to(tl.int64) * G + group) * SHARE
    stacked = tl.arange(0, TOKENS * SHARE)
    place = stacked // SHARE * (G * SHARE) + stacked % SHARE
    q = tl.load(query + origin * D + (place[:, None] * D + tl.arange(0, D)[None, :]))
    acc = tl.zeros((TOKENS * SHARE, VALUES), tl.float32)
    peak = tl.full((TOKENS * SHARE,), LEAST, tl.float32)
    total = tl.zeros((TOKENS * SHARE,), tl.float32)
    value_column = group * D + part * VALUES
    pages += tl.load(page_offset + segment)
    for tile in tl.range(begin, tl.minimum(end, before)):
        position = (first_before + tile) * KEYS
        at = tl.load(pages + position // PAGE) * PAGE + position % PAGE
        k = _tile(cache_keys, at, group * D, KEYS, D, G * D, TMA)
        v = _tile(cache_values, at, value_column, KEYS, VALUES, G * D, TMA)
        most = tl.minimum(high, start - 1)
        acc, peak, total = _seen(q, k, v, position, low, most, acc, peak, total, KEYS, WINDOW)
    for tile in tl.range(tl.maximum(begin, before), end):
        offset = (first_own + tile - before) * KEYS
        k = _tile(own_keys, base + offset, group * D, KEYS, D, G * D, TMA)
        v = _tile(own_values, base + offset, value_column, KEYS, VALUES, G * D, TMA)
        acc, peak, total = _seen(q, k, v, start + offset, low, high, acc, peak, total, KEYS, WINDOW)

    origin += split * T.to(tl.int64) * (G * SHARE)
    acc *= (1.0 / tl.where(total == 0.0, 1.0, total))[:, None]
    column = part * VALUES + tl.arange(0, VALUES)[None, :]
    target = partials + origin * D + (place[:, None] * D + column)
    tl.store(target, acc.to(partials.dtype.element_ty))
    tl.store(peaks + origin + place, peak, mask=part == 0)
    tl.store(sums + origin + place, total, mask=part == 0)


@triton.jit
def _sight(
    row,
    rows,
    start,
    kind,
    WINDOW: tl.constexpr,
    TOKENS: tl.constexpr,
    SHARE: tl.constexpr,
):
    """Positions of the first and last key of each stacked row, the first of all, and the end of
    what they see of their own segment, counted from its start. `row` is in the segment.
    """
    token = row + tl.arange(0, TOKENS * SHARE) // SHARE
    causal = kind == OF_CAUSAL
    high = start + tl.where(causal, token, rows - 1)
    high = tl.where(token < rows, high, -1)  # dead rows see nothing
    last = tl.where(causal, tl.minimum(row + TOKENS, rows), rows)
    if WINDOW is None:
        low = high  # nobody looks at it
        first = 0
    else:
        # a canvas sees what its first row sees of the prefix
        canvas = kind == OF_CANVAS
        low = start + tl.where(canvas, 0, token) - (WINDOW - 1)
        first = tl.maximum(start + tl.where(canvas, 0, row) - (WINDOW - 1), 0)
        picture = kind == OF_PICTURE
        low = tl.where(picture, tl.minimum(low, start), low)
        first = tl.where(picture, tl.minimum(first, start), first)
    return low, high, first, last


@triton.jit
def _tile(
    source,
    row,
    column,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE: tl.constexpr,
    TMA: tl.constexpr,
):
    """[ROWS, COLUMNS], from the given row and column on."""
    if TMA:
        tile = source.load([row, column])
    else:
        rows = (row + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        tile = tl.load(source + rows * STRIDE + column + tl.arange(0, COLUMNS)[None, :])
    return tile


@triton.jit
def _seen(
    q,
    k,
    v,
    position,
    low,
    high,
    acc,
    peak,
    total,
    KEYS: tl.constexpr,
    WINDOW: tl.constexpr,
):
    """What was found so far, and in the keys from `position` on."""
    key = position + tl.arange(0, KEYS)[None, :]
    scores = tl.dot(q, k.T, input_precision="ieee")
    seen = key <= high[:, None]
    if WINDOW is not None:
        seen &= key >= low[:, None]
    scores = tl.where(seen, scores, float("-inf"))
    higher = tl.maximum(peak, tl.max(scores, 1) * LOG2E)
    weights = tl.exp2(scores * LOG2E - higher[:, None])
    kept = tl.exp2(peak - higher)
    total = total * kept + tl.sum(weights, 1)
    acc = tl.dot(weights.to(v.dtype), v, acc * kept[:, None], input_precision="ieee")
    return acc, higher, total
