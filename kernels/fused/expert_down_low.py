"""The second product of the experts with weights in 6 or 4 bits, otherwise as in expert_down.py.

A program has 256 rows of the weights and takes 64 columns a step, which have one scale per row of
the weights and one per row of the other side; both multiply the step's sums in fp32.

Reads each hit expert's H · I weights of 6.25 or 4.25 bits once from memory, and T · K · I bytes per
tile of H, mostly from the L2 cache; writes T · K · H elements. 2 · T · K · H · I FLOPs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from palimpsest.kernels.fused.expert_down import OfSlots
from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.expert_tiles import load_columns, rows_of_a_tile
from palimpsest.kernels.fused.low_bit import LowOperands, load_parts, load_scales
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded
from palimpsest.kernels.lowbit import PART_ROWS, LowBit
from palimpsest.kernels.quantise import GROUP

LARGEST_TILE = 64
"""Of rows: with 128, accumulators of 256 rows of weights take more registers than there are."""


def expert_down_low(
    a: Rounded,
    weights: LowBit,
    *,
    lists: ExpertRows,
    dtype: torch.dtype,
    block_t: int | None = None,
    tma: bool | None = None,
) -> OfSlots:
    """Outputs [T·K, H] in `dtype` from inner rows in e4m3 groups and weights [E, H, I]."""
    experts, tiles, steps, _ = weights.planes.shape
    rows, width = lists.indices.shape[1], weights.rows
    block_t = min(LARGEST_TILE, rows_of_a_tile(rows)) if block_t is None else block_t
    operands = LowOperands.of(weights, tma=tma)
    y = a.values.new_empty(len(a.values), width, dtype=dtype)
    _expert_down_low_kernel[(tiles, experts)](
        a.values,
        a.scales,
        operands.first_planes,
        operands.third_planes,
        operands.pairs,
        lists.indices,
        lists.counts,
        y,
        rows,
        operands.lines,
        H=width,
        INNER=weights.columns,
        STEPS=steps,
        GROUP=GROUP,
        PART_ROWS=PART_ROWS,
        BLOCK_T=block_t,
        STAGES=4 if operands.tma and block_t < 64 else 3,
        TMA=operands.tma,
        EMULATED=INTERPRETED,
        num_warps=4 if block_t < 64 else 8,
    )
    return y


@triton.jit
def _expert_down_low_kernel(
    a,
    a_scales,
    first_planes,
    third_planes,
    pairs,
    indices,
    counts,
    y,
    rows,
    lines,
    H: tl.constexpr,
    INNER: tl.constexpr,
    STEPS: tl.constexpr,
    GROUP: tl.constexpr,
    PART_ROWS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
    EMULATED: tl.constexpr,
):
    tile = tl.program_id(0)
    expert = tl.program_id(1)
    count = tl.load(counts + expert)
    first_unit = (expert * tl.num_programs(0) + tile) * STEPS
    for first in range(0, count, BLOCK_T):
        place = first + tl.arange(0, BLOCK_T)
        live = place < count
        index = tl.load(indices + expert.to(tl.int64) * rows + place, mask=live, other=0)
        index = index.to(tl.int64)

        above = tl.zeros((PART_ROWS, BLOCK_T), tl.float32)
        below = tl.zeros((PART_ROWS, BLOCK_T), tl.float32)
        # stages asked for here let the loads of scales run ahead too, which feed no product
        for step in tl.range(0, STEPS, num_stages=STAGES):
            unit = first_unit + step
            upper, lower = load_parts(first_planes, third_planes, unit, lines, TMA, EMULATED)
            of_upper, of_lower = load_scales(pairs, unit)
            t = load_columns(a, index, live, step * GROUP, INNER, GROUP)
            scale = tl.load(a_scales + index * STEPS + step, mask=live, other=0.0)[None, :]
            above += tl.dot(upper, t) * of_upper[:, None] * scale
            below += tl.dot(lower, t) * of_lower[:, None] * scale

        row = tile * (2 * PART_ROWS) + tl.arange(0, PART_ROWS)
        _store(y, above, index, live, row, H)
        _store(y, below, index, live, row + PART_ROWS, H)


@triton.jit
def _store(y, part, index, live, row, H: tl.constexpr):
    out = y + index[:, None] * H + row[None, :]
    tl.store(out, part.to(y.dtype.element_ty).T, mask=live[:, None] & (row < H)[None, :])
