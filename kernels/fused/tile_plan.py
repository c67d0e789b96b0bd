"""Which tiles of the vocabulary every row needs, and in which order programs read them.

Late in a canvas nearly all probability lies in few tiles. A row does without the tiles in which it
has less than `skip_below`: by default with less than 1e-4 of it in all, twenty times under what
rounding p to bf16 moves. A tile that no row of a program needs is not read. Which tiles a row does
without is for itself to say, so its bits do not depend on its neighbours; its factor e^(m-M) / Z of
such a tile is 0.

Tiles go to splits in groups in turn, as frequent tokens lie together. With t tiles: reads 8 · L · t
bytes, writes 4 · L · t; 5 · L · t FLOPs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from palimpsest.kernels.fused.lm_head import Summary
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.sampling import Reading

Factors = Float[Tensor, "tiles C"]
Visits = Int[Tensor, "row_tiles splits most"]
VisitCounts = Int[Tensor, "row_tiles splits"]

SKIPPED = 1e-4
"""Probability that a row may do without."""
GROUP = 4
"""Tiles side by side in one split, whose maxima are half a sector of memory."""
BLOCK_L = 32
"""Rows that are looked at at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """What the programs of every (row tile, split) read."""

    factors: Factors
    """e^(m-M) / Z, so that a weight times it is a probability; 0 where a row needs nothing."""
    visits: Visits
    """Tiles in ascending order, as many as are counted."""
    counts: VisitCounts


def plan_tiles_reference(
    summary: Summary, reading: Reading, *, skip_below: float | None, rows: int, splits: int
) -> TilePlan:
    below = summary.maxima - reading.maximum[:, None]
    factors = below.exp() / reading.total[:, None]
    needed = factors * summary.sums >= _bound(summary, skip_below)
    tile = torch.arange(summary.maxima.shape[1], device=needed.device)
    split = torch.arange(splits, device=needed.device)
    mine = (tile // GROUP % splits) == split[:, None]
    visited = torch.stack([part.any(dim=0) for part in needed.split(rows)])
    visited = visited[:, None, :] & mine
    return TilePlan(
        factors=torch.where(needed, factors, 0.0).T.contiguous(),
        # those that are visited come first
        visits=visited.logical_not().to(torch.int8).argsort(dim=-1, stable=True).int(),
        counts=visited.sum(dim=-1).int(),
    )


def plan_tiles(
    summary: Summary, reading: Reading, *, skip_below: float | None, rows: int, splits: int
) -> TilePlan:
    """For programs of `rows` rows and one of `splits` parts of the vocabulary."""
    length, tiles = summary.maxima.shape
    row_tiles, most = triton.cdiv(length, rows), triton.cdiv(tiles, GROUP * splits) * GROUP
    made = TilePlan(
        factors=summary.maxima.new_empty(tiles, length),
        visits=summary.argmax.new_empty(row_tiles, splits, most),
        counts=summary.argmax.new_empty(row_tiles, splits),
    )
    _plan_kernel[(row_tiles, splits)](
        summary.maxima,
        summary.sums,
        reading.maximum,
        reading.total,
        made.factors,
        made.visits,
        made.counts,
        _bound(summary, skip_below),
        length,
        TILES=tiles,
        SPLITS=splits,
        MOST=most,
        ROWS=rows,
        GROUP=GROUP,
        BLOCK=triton.next_power_of_2(most),
        BLOCK_L=BLOCK_L,
        num_warps=8,
        **how_to_launch(),
    )
    return made


def _bound(summary: Summary, skip_below: float | None) -> float:
    return SKIPPED / summary.maxima.shape[1] if skip_below is None else skip_below


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
    ROWS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    in_turn()
    row_tile = tl.program_id(0)
    split = tl.program_id(1)
    i = tl.arange(0, BLOCK)
    tile = (i // GROUP * SPLITS + split) * GROUP + i % GROUP
    exists = (i < MOST) & (tile < TILES)
    needed = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, ROWS, BLOCK_L):
        row = row_tile * ROWS + first + tl.arange(0, BLOCK_L)
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
