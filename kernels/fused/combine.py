"""Adds up what the programs of `attention` found in their shares of the keys.

With the peak m_s (a power of two) and sum l_s of split s and its mean o_s of the values,
o = Σ w_s o_s / Σ w_s, w_s = l_s · 2^(m_s - max m). A row without keys is zeros.

Reads 2 · SPLITS · T · N · D bytes and 8 · SPLITS · T · N of sums, writes T · N · D elements of what
is rounded; 2 · SPLITS · T · N · D FLOPs. N and D are powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded, store_rounded
from palimpsest.kernels.fused.segment_table import TILE_ROWS, SegmentTable
from palimpsest.kernels.shapes import Queries

PartialValues = Float[Tensor, "splits T N D"]
PartialSums = Float[Tensor, "splits T N"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partials:
    """What was found in each share of the keys; only in live rows."""

    values: PartialValues
    """Means of the values by weight. They are no larger than the largest value, which for
    normalised ones is √D, so that half precision holds them better than bf16.
    """
    peaks: PartialSums
    """Largest scores, in powers of two."""
    sums: PartialSums
    """Of weights, relative to the peak."""

    @classmethod
    def empty(cls, query: Queries, *, splits: int) -> Partials:
        exact = query.dtype == torch.float32
        dtype = torch.float32 if exact else torch.float16
        values = query.new_empty((splits, *query.shape), dtype=dtype)
        peaks, sums = query.new_empty((2, splits, *query.shape[:2]), dtype=torch.float32).unbind()
        return cls(values=values, peaks=peaks, sums=sums)


def combine_reference(
    partials: Partials, query: Queries, table: SegmentTable, *, quantised: bool
) -> Rounded:
    weights = partials.sums * torch.exp2(partials.peaks - partials.peaks.amax(0))
    mean = (weights[..., None] * partials.values.float()).sum(0) / weights.sum(0)[..., None]
    rows = torch.arange(TILE_ROWS * table.tile_segment.shape[0]).view(-1, TILE_ROWS)
    segment = table.tile_segment[:, None]
    live = (segment >= 0) & (rows < (table.first_row + table.rows)[segment])
    mean = mean.where(live.view(-1, 1, 1), 0.0)
    return Rounded.of(mean.to(query.dtype).flatten(1), quantised=quantised)


def combine(partials: Partials, query: Queries, table: SegmentTable, *, quantised: bool) -> Rounded:
    """Rows [T, N · D] in the dtype of `query`, or rounded from fp32."""
    splits, rows, heads, width = partials.values.shape
    made = Rounded.empty(query.flatten(1), quantised=quantised)
    _combine_kernel[(rows,)](
        partials.values,
        partials.peaks,
        partials.sums,
        table.tile_segment,
        table.first_row,
        table.rows,
        made.values,
        made.scales,
        rows,
        N=heads,
        D=width,
        SPLITS=splits,
        TILE_ROWS=TILE_ROWS,
        EMULATED=INTERPRETED,
        num_warps=8,
        **how_to_launch(),
    )
    return made


@triton.jit
def _combine_kernel(
    partials,
    peaks,
    sums,
    tile_segment,
    first_row,
    segment_rows,
    values,
    scales,
    T,
    N: tl.constexpr,
    D: tl.constexpr,
    SPLITS: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0)
    segment = tl.load(tile_segment + row // TILE_ROWS)
    known = segment >= 0
    end = tl.load(first_row + segment, mask=known, other=0)
    end += tl.load(segment_rows + segment, mask=known, other=0)
    x = tl.zeros((N, D), tl.float32)
    if row < end:
        x = _mean(partials, peaks, sums, row, T.to(tl.int64) * N, N, D, SPLITS)
    column = tl.arange(0, N * D)
    row = row.to(tl.int64)
    x = tl.reshape(x, (N * D,))
    store_rounded(values, scales, row, row * (N * D) + column, column < N * D, x, EMULATED)


@triton.jit
def _mean(
    partials, peaks, sums, row, stride, N: tl.constexpr, D: tl.constexpr, SPLITS: tl.constexpr
):
    """Of one row, [N, D]. `stride` is between splits of peaks and sums."""
    head = tl.arange(0, N)
    place = head[:, None] * D + tl.arange(0, D)[None, :]
    at = row * N + head + tl.arange(0, SPLITS)[:, None] * stride
    highest = tl.max(tl.load(peaks + at), 0)
    x = tl.zeros((N, D), tl.float32)
    total = tl.zeros((N,), tl.float32)
    for split in tl.static_range(SPLITS):
        at = split * stride + row * N
        weight = tl.load(sums + at + head) * tl.exp2(tl.load(peaks + at + head) - highest)
        found = tl.load(partials + at * D + place)
        x += weight[:, None] * found.to(tl.float32)
        total += weight
    return x / tl.where(total == 0.0, 1.0, total)[:, None]
