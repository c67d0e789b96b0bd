"""The second product of the experts with weights in 6 or 4 bits, otherwise as in expert_down.py.

A program has 256 rows of the weights and takes two units, 128 columns, a step. The other side has a
scale per row and 64 columns, by which sums are multiplied in fp32 as they come; the weights' scales
are of all 128 and come last: one multiplication less of every four, and of what the loop issues a
tenth.

Reads each hit expert's H · I weights of 6.125 or 4.125 bits once from memory, and T · K · I bytes
per tile of H, mostly from the L2 cache; writes T · K · H elements. 2 · T · K · H · I FLOPs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from palimpsest.kernels.fused.expert_down import OfSlots
from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.expert_tiles import load_columns, loaded_once
from palimpsest.kernels.fused.low_bit import LowOperands, load_scales, load_two_units
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded
from palimpsest.kernels.lowbit import PART_ROWS, LowBit
from palimpsest.kernels.quantise import GROUP

MOST_ELEMENTS = 2**31
"""That places of 32 bits reach; wider ones take registers that there are not."""


def expert_down_low(
    a: Rounded,
    weights: LowBit,
    *,
    lists: ExpertRows,
    dtype: torch.dtype,
    tma: bool | None = None,
) -> OfSlots:
    """Outputs [T·K, H] in `dtype` from inner rows in e4m3 groups, less than 2^31 numbers of them,
    and weights [E, H, I].
    """
    assert a.values.numel() < MOST_ELEMENTS, f"{a.values.numel()} inner numbers are 2^31 or more"
    experts, tiles, steps, _ = weights.planes.shape
    rows, width = lists.indices.shape[1], weights.rows
    operands = LowOperands.of_two(weights, tma=tma)
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
        operands.units,
        H=width,
        INNER=weights.columns,
        STEPS=steps,
        GROUP=GROUP,
        PART_ROWS=PART_ROWS,
        # accumulators of more rows leave no registers for the weights
        BLOCK_T=32 if operands.tma else 16,
        STAGES=3,
        TMA=operands.tma,
        EMULATED=INTERPRETED,
        **how_to_launch(),
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
    units,
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
    in_turn()
    tile = tl.program_id(0)
    expert = tl.program_id(1)
    count = tl.load(counts + expert)
    first_unit = (expert * tl.num_programs(0) + tile) * STEPS
    two_units: tl.constexpr = (STEPS + 1) // 2
    first_pair = (expert * tl.num_programs(0) + tile) * two_units
    for first in range(0, count, BLOCK_T):
        place = first + tl.arange(0, BLOCK_T)
        live = place < count
        index = tl.load(indices + expert.to(tl.int64) * rows + place, mask=live, other=0)
        once = loaded_once(index)

        above = tl.zeros((PART_ROWS, BLOCK_T), tl.float32)
        below = tl.zeros((PART_ROWS, BLOCK_T), tl.float32)
        # stages asked for here let the loads of scales run ahead too, which feed no product
        for step in tl.range(0, two_units, num_stages=STAGES):
            unit = first_unit + 2 * step
            upper, lower, upper_next, lower_next = load_two_units(
                first_planes, third_planes, unit, units, TMA, EMULATED
            )
            of_upper, of_lower = load_scales(pairs, first_pair + step)
            # a unit beyond the last of these rows is another's, times zeros
            t = load_columns(a, index, live, step * 2 * GROUP, INNER, GROUP)
            scale = tl.load(a_scales + once * STEPS + 2 * step, mask=live, other=0.0)
            t_next = load_columns(a, index, live, step * 2 * GROUP + GROUP, INNER, GROUP)
            there = live & (2 * step + 1 < STEPS)
            scale_next = tl.load(a_scales + once * STEPS + 2 * step + 1, mask=there, other=0.0)
            sums = tl.dot(upper, t) * scale[None, :]
            sums += tl.dot(upper_next, t_next) * scale_next[None, :]
            above += sums * of_upper[:, None]
            sums = tl.dot(lower, t) * scale[None, :]
            sums += tl.dot(lower_next, t_next) * scale_next[None, :]
            below += sums * of_lower[:, None]

        row = tile * (2 * PART_ROWS) + tl.arange(0, PART_ROWS)
        _store(y, above, index.to(tl.int64), live, row, H)
        _store(y, below, index.to(tl.int64), live, row + PART_ROWS, H)


@triton.jit
def _store(y, part, index, live, row, H: tl.constexpr):
    out = y + index[:, None] * H + row[None, :]
    tl.store(out, part.to(y.dtype.element_ty).T, mask=live[:, None] & (row < H)[None, :])
