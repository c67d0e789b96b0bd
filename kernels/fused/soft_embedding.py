"""The expected embedding of every row: what the next step is told of this one.

    soft = (Σ p E) · √H,    p = w e^(m-M) / Z

with the weights w and maxima m of tiles of the vocabulary (lm_head.py) and M and Z of rows
(sampling.py). p is rounded to the dtype, and so is the sum before it is scaled, as the plain path
rounds.

Late in a canvas nearly all probability lies in few tiles. A row does without the tiles in which it
has less than `skip_below`, by default less than 1e-4 of it in all, twenty times under what rounding
p to bf16 moves; a tile that no row of a program needs is not read. Which tiles a row does without
is for itself to say, so its bits do not depend on its neighbours.

The vocabulary goes in splits whose tiles lie scattered, as frequent tokens lie together, and whose
sums [SPLITS, L, H] in fp32 are added in order. Reads L · V weights and V · H elements, writes and
reads 4 · SPLITS · L · H bytes; 2 · L · V · H FLOPs; all of it less what is skipped. Operands are
contiguous; with a copy engine, their rows begin at multiples of 16 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.fused.lm_head import Embedding, HiddenRows, Summary
from palimpsest.kernels.fused.sampling import Reading
from palimpsest.kernels.fused.target import has_tma

SKIPPED = 1e-4
"""Probability that a row may do without."""
GROUP = 8
"""Tiles side by side in one split, whose maxima share a sector of memory."""
BLOCK_PLAN = 32
"""Rows that are planned at once."""
BLOCK_SUM = 1024


@dataclass(frozen=True, slots=True)
class Tiling:
    """What one program multiplies, and how; programs of one canvas should fill the card."""

    rows: int
    columns: int
    depth: int
    splits: int
    stages: int
    warps: int


WITH_TMA = Tiling(128, 256, 64, 6, 7, 8)
WITHOUT_TMA = Tiling(128, 128, 64, 6, 7, 8)


def soft_embedding_reference(
    summary: Summary,
    reading: Reading,
    *,
    embedding: Embedding,
    scale: float,
    skip_below: float | None = None,
) -> HiddenRows:
    below = summary.maxima - reading.maximum[:, None]
    factors = below.exp() / reading.total[:, None]
    kept = factors * summary.sums >= _bound(summary, skip_below)
    factors = torch.where(kept, factors, 0.0)
    probabilities = summary.weights.float().unflatten(1, (-1, summary.tile)) * factors[..., None]
    dtype = embedding.dtype
    p = probabilities.flatten(1)[:, : len(embedding)].to(dtype)
    return (p.float() @ embedding.float()).to(dtype) * scale


def soft_embedding(
    summary: Summary,
    reading: Reading,
    *,
    embedding: Embedding,
    scale: float,
    skip_below: float | None = None,
    tma: bool | None = None,
) -> HiddenRows:
    tma = has_tma() if tma is None else tma
    tiling = WITH_TMA if tma else WITHOUT_TMA
    plan = _plan(summary, reading, tiling, _bound(summary, skip_below))
    sums = _sums(summary, embedding, plan, tiling, tma=tma)
    soft = embedding.new_empty(sums.shape[1:])
    _total_kernel[(triton.cdiv(soft.numel(), BLOCK_SUM),)](
        sums, soft, scale, soft.numel(), SPLITS=tiling.splits, BLOCK=BLOCK_SUM, num_warps=4
    )
    return soft


def _bound(summary: Summary, skip_below: float | None) -> float:
    return SKIPPED / summary.maxima.shape[1] if skip_below is None else skip_below


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which tiles are read, in order, by the programs of a (row tile, split)."""

    factors: Tensor
    """[tiles, L] e^(m-M) / Z; 0 where a row does without a tile."""
    visits: Tensor
    """[row tiles, SPLITS, most tiles of a split]"""
    counts: Tensor
    """[row tiles, SPLITS]"""


def _plan(summary: Summary, reading: Reading, tiling: Tiling, bound: float) -> _Plan:
    rows, tiles = summary.maxima.shape
    row_tiles = triton.cdiv(rows, tiling.rows)
    most = triton.cdiv(tiles, GROUP * tiling.splits) * GROUP
    made = _Plan(
        factors=summary.maxima.new_empty(tiles, rows),
        visits=summary.argmax.new_empty(row_tiles, tiling.splits, most),
        counts=summary.argmax.new_empty(row_tiles, tiling.splits),
    )
    _plan_kernel[(row_tiles, tiling.splits)](
        summary.maxima,
        summary.sums,
        reading.maximum,
        reading.total,
        made.factors,
        made.visits,
        made.counts,
        bound,
        rows,
        TILES=tiles,
        SPLITS=tiling.splits,
        MOST=most,
        BLOCK=triton.next_power_of_2(most),
        GROUP=GROUP,
        BLOCK_L=tiling.rows,
        BLOCK_PLAN=BLOCK_PLAN,
        num_warps=8,
    )
    return made


def _sums(
    summary: Summary, embedding: Embedding, plan: _Plan, tiling: Tiling, *, tma: bool
) -> Tensor:
    """Σ p E of every split, [SPLITS, L, H]."""
    (rows, tiles), (vocabulary, width) = summary.maxima.shape, embedding.shape
    sums = summary.maxima.new_empty(tiling.splits, rows, width)
    w, e = summary.weights, embedding
    if tma:
        w = TensorDescriptor.from_tensor(summary.weights, [tiling.rows, tiling.depth])
        e = TensorDescriptor.from_tensor(embedding, [tiling.depth, tiling.columns])
    grid = (triton.cdiv(rows, tiling.rows), triton.cdiv(width, tiling.columns), tiling.splits)
    _sums_kernel[grid](
        w,
        e,
        plan.factors,
        plan.visits,
        plan.counts,
        sums,
        rows,
        V=vocabulary,
        H=width,
        TILES=tiles,
        TILE=summary.tile,
        SPLITS=tiling.splits,
        MOST=plan.visits.shape[2],
        BLOCK_L=tiling.rows,
        BLOCK_H=tiling.columns,
        BLOCK_V=tiling.depth,
        STAGES=tiling.stages,
        TMA=tma,
        num_warps=tiling.warps,
    )
    return sums


@triton.jit
def _plan_kernel(
    maxima,
    sums,
    maximum,
    total,
    factors,
    visits,
    counts,
    bound,
    L,
    TILES: tl.constexpr,
    SPLITS: tl.constexpr,
    MOST: tl.constexpr,
    BLOCK: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_PLAN: tl.constexpr,
):
    row_tile = tl.program_id(0)
    split = tl.program_id(1)
    i = tl.arange(0, BLOCK)
    tile = (i // GROUP * SPLITS + split) * GROUP + i % GROUP
    exists = (i < MOST) & (tile < TILES)
    needed = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, BLOCK_L, BLOCK_PLAN):
        row = row_tile * BLOCK_L + first + tl.arange(0, BLOCK_PLAN)
        mask = (row < L)[:, None] & exists[None, :]
        place = row.to(tl.int64)[:, None] * TILES + tile[None, :]
        largest = tl.load(maximum + row, mask=row < L, other=0.0)[:, None]
        z = tl.load(total + row, mask=row < L, other=1.0)[:, None]
        m = tl.load(maxima + place, mask=mask, other=-float("inf"))
        s = tl.load(sums + place, mask=mask, other=0.0)
        factor = tl.exp(m - largest) / z
        # rows that are no numbers need nothing
        factor = tl.where(mask & (factor * s >= bound), factor, 0.0)
        tl.store(factors + tile.to(tl.int64)[None, :] * L + row[:, None], factor, mask=mask)
        needed = tl.maximum(needed, tl.max(factor, 0))
    visited = (needed > 0.0).to(tl.int32)
    rank = tl.cumsum(visited, 0) - visited
    plan = row_tile * SPLITS + split
    tl.store(visits + plan * MOST + rank, tile, mask=visited > 0)
    tl.store(counts + plan, tl.sum(visited, 0))


@triton.jit
def _sums_kernel(
    weights,
    embedding,
    factors,
    visits,
    counts,
    sums,
    L,
    V: tl.constexpr,
    H: tl.constexpr,
    TILES: tl.constexpr,
    TILE: tl.constexpr,
    SPLITS: tl.constexpr,
    MOST: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_V: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
):
    row_tile = tl.program_id(0)
    first_column = tl.program_id(1) * BLOCK_H
    split = tl.program_id(2)
    plan = row_tile * SPLITS + split
    row = row_tile * BLOCK_L + tl.arange(0, BLOCK_L)
    alive = row < L
    row = row.to(tl.int64)
    column = first_column + tl.arange(0, BLOCK_H)
    total = tl.zeros((BLOCK_L, BLOCK_H), tl.float32)
    steps = tl.load(counts + plan) * (TILE // BLOCK_V)
    for step in tl.range(0, steps, num_stages=STAGES):
        tile = tl.load(visits + plan * MOST + step // (TILE // BLOCK_V))
        first = tile * TILE + step % (TILE // BLOCK_V) * BLOCK_V
        factor = tl.load(factors + tile.to(tl.int64) * L + row, mask=alive, other=0.0)
        if TMA:
            w = weights.load([row_tile * BLOCK_L, first])
            e = embedding.load([first, first_column])
        else:
            token = first + tl.arange(0, BLOCK_V)
            place = row[:, None] * (TILES * TILE) + token[None, :]
            w = tl.load(weights + place, mask=alive[:, None], other=0.0)
            place = token.to(tl.int64)[:, None] * H + column[None, :]
            inside = (token < V)[:, None] & (column < H)[None, :]
            e = tl.load(embedding + place, mask=inside, other=0.0)
        p = (w.to(tl.float32) * factor[:, None]).to(w.dtype)
        total = tl.dot(p, e, total, input_precision="ieee")
    place = (split.to(tl.int64) * L + row[:, None]) * H + column[None, :]
    tl.store(sums + place, total, mask=alive[:, None] & (column < H)[None, :])


@triton.jit
def _total_kernel(sums, soft, scale, N, SPLITS: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < N
    total = tl.zeros((BLOCK,), tl.float32)
    of_split = place
    for _ in range(SPLITS):
        total += tl.load(sums + of_split, mask=mask, other=0.0)
        of_split += N
    # rounded where the plain path rounds
    rounded = total.to(soft.dtype.element_ty).to(tl.float32)
    tl.store(soft + place, (rounded * scale).to(soft.dtype.element_ty), mask=mask)
