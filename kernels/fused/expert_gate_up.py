"""The first product of the experts: a = gelu_tanh(gate) · up, [gate ; up] = W1[e] x.

For each row and each of its experts, gathered through the experts' lists (kernels/experts.py). A
program has 64 gate rows and the 64 up rows that go with them. In e4m3 the result has one scale per
64 columns, which the same program sees and the second product applies along K; no other kernel
needs to quantise.

Reads each hit expert's 2 · I · H weights once from memory, and T · K · H elements per 64 of I,
mostly from the L2 cache; writes T · K · I elements. 4 · T · K · H · I FLOPs. All is contiguous.
Slots that are in no expert's list are not written: the rows of padding, which no later operation
mixes with others.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.expert_tiles import (
    IMPRECISE,
    load_columns,
    rows_of_a_tile,
    store_gated,
)
from palimpsest.kernels.fused.gelu import gelu_tanh
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import INTERPRETED, Rounded
from palimpsest.kernels.fused.tiles import load_tile, tiled
from palimpsest.kernels.lowbit import LowBit
from palimpsest.kernels.quantise import GROUP
from palimpsest.kernels.shapes import ExpertIds


def expert_gate_up_reference(x: Rounded, weights: Rounded | LowBit, *, ids: ExpertIds) -> Rounded:
    """Of every slot, from ids [T, K]."""
    quantised = weights.scales is not None
    rows, every = (x.exact(), weights.exact()) if quantised else (x.values, weights.values)
    made = [
        torch.nn.functional.linear(row, every[e])
        for row, of_row in zip(rows, ids.tolist(), strict=True)
        for e in of_row
    ]
    gate, up = torch.stack(made).chunk(2, dim=-1)
    gated = torch.nn.functional.gelu(gate, approximate="tanh") * up
    return Rounded.grouped(gated, quantised=quantised)


def expert_gate_up(
    x: Rounded,
    weights: Rounded,
    *,
    lists: ExpertRows,
    experts_per_row: int,
    block_t: int | None = None,
    tma: bool | None = None,
) -> Rounded:
    """Inner rows [T·K, I] from rows [T, H] and weights [E, 2I, H], both e4m3 or neither."""
    experts, twice, width = weights.values.shape
    rows, inner = len(x.values), twice // 2
    block_t = rows_of_a_tile(rows) if block_t is None else block_t
    block_k = 128 // x.values.element_size()  # a line of the cache
    operand, tma = tiled(weights.values.flatten(0, 1), [GROUP, block_k], tma=tma)
    dtype = x.values.dtype if weights.scales is None else None
    made = Rounded.empty_grouped(x.values, rows * experts_per_row, inner, dtype=dtype)
    _expert_gate_up_kernel[(triton.cdiv(inner, GROUP), experts)](
        x.values,
        x.scales,
        operand,
        weights.scales,
        lists.indices,
        lists.counts,
        made.values,
        made.scales,
        rows,
        H=width,
        INNER=inner,
        E=experts,
        K=experts_per_row,
        GROUP=GROUP,
        BLOCK_T=block_t,
        BLOCK_K=block_k,
        IMPRECISE=None if weights.scales is None else IMPRECISE,
        TMA=tma,
        EMULATED=INTERPRETED,
        num_warps=4 if tma or block_t < 64 else 8,
        num_stages=4 if tma and block_t < 128 else 3,
        **how_to_launch(),
    )
    return made


@triton.jit
def _expert_gate_up_kernel(
    x,
    x_scales,
    weights,
    weight_scales,
    indices,
    counts,
    gated,
    gated_scales,
    rows,
    H: tl.constexpr,
    INNER: tl.constexpr,
    E: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_K: tl.constexpr,
    IMPRECISE: tl.constexpr,
    TMA: tl.constexpr,
    EMULATED: tl.constexpr,
):
    in_turn()
    group = tl.program_id(0)
    expert = tl.program_id(1)
    count = tl.load(counts + expert)
    gate_row = expert * (2 * INNER) + group * GROUP
    column = group * GROUP + tl.arange(0, GROUP)
    mask = column < INNER
    for first in range(0, count, BLOCK_T):
        place = first + tl.arange(0, BLOCK_T)
        live = place < count
        index = tl.load(indices + expert.to(tl.int64) * rows + place, mask=live, other=0)
        index = index.to(tl.int64)
        row = index // K

        gate = tl.zeros((GROUP, BLOCK_T), tl.float32)
        up = tl.zeros((GROUP, BLOCK_T), tl.float32)
        for k in tl.range(0, H, BLOCK_K):
            g = load_tile(weights, gate_row, k, E * 2 * INNER, H, GROUP, BLOCK_K, TMA)
            u = load_tile(weights, gate_row + INNER, k, E * 2 * INNER, H, GROUP, BLOCK_K, TMA)
            t = load_columns(x, row, live, k, H, BLOCK_K)
            gate = tl.dot(g, t, gate, input_precision="ieee", max_num_imprecise_acc=IMPRECISE)
            up = tl.dot(u, t, up, input_precision="ieee", max_num_imprecise_acc=IMPRECISE)

        if weight_scales is not None:
            scale = tl.load(x_scales + row, mask=live, other=0.0)[None, :]
            channel = weight_scales + expert * (2 * INNER) + column
            gate *= tl.load(channel, mask=mask, other=0.0)[:, None] * scale
            up *= tl.load(channel + INNER, mask=mask, other=0.0)[:, None] * scale
            store_gated(gated, gated_scales, gate, up, index, live, group, INNER, GROUP, EMULATED)
        else:
            # rounded where the plain path rounds
            dtype: tl.constexpr = gated.dtype.element_ty
            gate = gelu_tanh(gate.to(dtype).to(tl.float32)).to(dtype)
            a = (gate.to(tl.float32) * up.to(dtype).to(tl.float32)).to(dtype)
            out = gated + index[:, None] * INNER + column[None, :]
            tl.store(out, a.T, mask=live[:, None] & mask[None, :])
