"""The expected embedding of every row: what the next step is told of this one.

    soft = (Σ p E) · √H,    p = w e^(m-M) / Z

with the weights w and maxima m of tiles of the vocabulary (lm_head.py) and M and Z of rows
(sampling.py). p is rounded to the dtype, and so is the sum before it is scaled, as the plain path
rounds.

Tiles in which rows have next to no probability are left out (tile_plan.py). The sums of splits of
the vocabulary, [SPLITS, L, H] in fp32, are added in order.

Reads L · V weights and V · H elements, writes and reads 4 · SPLITS · L · H bytes; 2 · L · V · H
FLOPs; all of it less what is left out. Operands are contiguous; with a copy engine, their rows
begin at multiples of 16 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from palimpsest.kernels.fused.lm_head import Embedding, HiddenRows, Summary
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.sampling import Reading
from palimpsest.kernels.fused.target import has_tma
from palimpsest.kernels.fused.tile_plan import TilePlan, plan_tiles, plan_tiles_reference

BLOCK_SUM = 1024


@dataclass(frozen=True, slots=True)
class Tiling:
    """What one program multiplies, and how. Programs of one canvas fill 132 multiprocessors once,
    or 128 nearly three times.
    """

    rows: int
    columns: int
    depth: int
    splits: int
    stages: int
    warps: int


WITH_TMA = Tiling(128, 256, 64, 6, 7, 8)
WITHOUT_TMA = Tiling(128, 128, 64, 8, 7, 8)
"""Of the stages half, rounded down, are kept in shared memory: what is read depends on the plan,
which is read ahead as well.
"""


def soft_embedding_reference(
    summary: Summary,
    reading: Reading,
    *,
    embedding: Embedding,
    scale: float,
    skip_below: float | None = None,
) -> HiddenRows:
    plan = plan_tiles_reference(summary, reading, skip_below=skip_below, rows=1, splits=1)
    weights = summary.weights.float().unflatten(1, (-1, summary.tile))
    probabilities = weights * plan.factors.T[..., None]
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
    plan = plan_tiles(
        summary, reading, skip_below=skip_below, rows=tiling.rows, splits=tiling.splits
    )
    sums = _sums(summary, embedding, plan, tiling, tma=tma)
    soft = embedding.new_empty(sums.shape[1:])
    _total_kernel[(triton.cdiv(soft.numel(), BLOCK_SUM),)](
        sums,
        soft,
        scale,
        soft.numel(),
        SPLITS=tiling.splits,
        BLOCK=BLOCK_SUM,
        num_warps=4,
        **how_to_launch(),
    )
    return soft


def _sums(
    summary: Summary, embedding: Embedding, plan: TilePlan, tiling: Tiling, *, tma: bool
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
        **how_to_launch(),
    )
    return sums


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
    in_turn()
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
    in_turn()
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
