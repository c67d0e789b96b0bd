"""The first product of the experts with weights in 6 or 4 bits, otherwise as in expert_gate_up.py.

A program has 64 gate rows above the 64 up rows that go with them, and takes 128 columns a step. The
tensor cores add up 64 terms, which are multiplied by the weights' scales in fp32: an instruction
per number of the accumulators, as letting fp32 take over costs anyway.

Reads each hit expert's 2 · I · H weights of 6.25 or 4.25 bits once from memory, and T · K · H bytes
per 64 of I, mostly from the L2 cache; writes T · K · I bytes. 4 · T · K · H · I FLOPs.
"""

from __future__ import annotations

import triton
import triton.language as tl

from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.expert_tiles import load_columns, rows_of_a_tile, store_gated
from palimpsest.kernels.fused.low_bit import LowOperands, load_scales, load_unit
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded
from palimpsest.kernels.lowbit import LowBit
from palimpsest.kernels.quantise import GROUP


def expert_gate_up_low(
    x: Rounded,
    weights: LowBit,
    *,
    lists: ExpertRows,
    experts_per_row: int,
    block_t: int | None = None,
    tma: bool | None = None,
) -> Rounded:
    """Inner rows [T·K, I] from rows [T, H] in e4m3 and gated weights [E, 2I, H]."""
    experts, tiles, steps, _ = weights.planes.shape
    rows, inner = len(x.values), weights.rows // 2
    operands = LowOperands.of(weights, tma=tma)
    if block_t is None:
        # places of pointers take the registers that wider tiles would need
        block_t = min(rows_of_a_tile(rows), 128 if operands.tma else 64)
    made = Rounded.empty_grouped(x.values, rows * experts_per_row, inner, dtype=None)
    _expert_gate_up_low_kernel[(tiles, experts)](
        x.values,
        x.scales,
        operands.first_planes,
        operands.third_planes,
        operands.pairs,
        lists.indices,
        lists.counts,
        made.values,
        made.scales,
        rows,
        operands.units,
        H=weights.columns,
        INNER=inner,
        K=experts_per_row,
        STEPS=steps,
        GROUP=GROUP,
        BLOCK_T=block_t,
        STAGES=4 if operands.tma and block_t < 64 else 3,
        TMA=operands.tma,
        EMULATED=INTERPRETED,
        num_warps=4 if block_t < 64 else 8,
        **how_to_launch(),
    )
    return made


@triton.jit
def _expert_gate_up_low_kernel(
    x,
    x_scales,
    first_planes,
    third_planes,
    pairs,
    indices,
    counts,
    gated,
    gated_scales,
    rows,
    units,
    H: tl.constexpr,
    INNER: tl.constexpr,
    K: tl.constexpr,
    STEPS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_T: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    group = tl.program_id(0)
    expert = tl.program_id(1)
    count = tl.load(counts + expert)
    first_unit = (expert * tl.num_programs(0) + group) * STEPS
    for first in range(0, count, BLOCK_T):
        place = first + tl.arange(0, BLOCK_T)
        live = place < count
        index = tl.load(indices + expert.to(tl.int64) * rows + place, mask=live, other=0)
        index = index.to(tl.int64)
        row = index // K

        acc = tl.zeros((2 * GROUP, BLOCK_T), tl.float32)
        # stages asked for here let the loads of scales run ahead too, which feed no product
        for step in tl.range(0, STEPS, num_stages=STAGES):
            unit = first_unit + step
            left, right = load_unit(first_planes, third_planes, unit, units, TMA, EMULATED)
            of_left, of_right = load_scales(pairs, unit)
            t = load_columns(x, row, live, step * 2 * GROUP, H, GROUP)
            acc += tl.dot(left, t) * of_left[:, None]
            t = load_columns(x, row, live, step * 2 * GROUP + GROUP, H, GROUP)
            acc += tl.dot(right, t) * of_right[:, None]

        scale = tl.load(x_scales + row, mask=live, other=0.0)
        halves = tl.reshape(acc * scale[None, :], (2, GROUP, BLOCK_T))
        gate, up = tl.split(tl.permute(halves, (1, 2, 0)))
        store_gated(gated, gated_scales, gate, up, index, live, group, INNER, GROUP, EMULATED)
