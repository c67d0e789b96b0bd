"""The second product of the experts: y = W2[e] a, per row and expert, not yet weighted.

A row's K results are mixed in a fixed order by the kernel that follows (after_experts.py), so
nothing is added by several programs. In e4m3 every step of 64 along K has its own scale for each
row, which multiplies the step's partial sum in fp32; so the tensor cores of sm_90, which add in 14
bits, never add more than 64 terms.

Reads each hit expert's H · I weights once from memory, and T · K · I elements per tile of H, mostly
from the L2 cache; writes T · K · H elements. 2 · T · K · H · I FLOPs. All is contiguous. Slots that
are in no expert's list are not written.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.expert_tiles import (
    load_columns,
    loaded_once,
    rows_of_a_tile,
)
from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.fused.tiles import load_tile, tiled
from palimpsest.kernels.lowbit import LowBit
from palimpsest.kernels.quantise import GROUP
from palimpsest.kernels.shapes import ExpertIds

BLOCK_H = 128

OfSlots = Float[Tensor, "TK H"]


def expert_down_reference(
    a: Rounded, weights: Rounded | LowBit, *, ids: ExpertIds, dtype: torch.dtype
) -> OfSlots:
    """Of every slot, from ids [T, K]."""
    quantised = weights.scales is not None
    rows, every = (a.exact(), weights.exact()) if quantised else (a.values, weights.values)
    of_slots = ids.flatten().tolist()
    made = [
        torch.nn.functional.linear(row, every[e]) for row, e in zip(rows, of_slots, strict=True)
    ]
    return torch.stack(made).to(dtype)


def expert_down(
    a: Rounded,
    weights: Rounded,
    *,
    lists: ExpertRows,
    dtype: torch.dtype,
    block_t: int | None = None,
    tma: bool | None = None,
) -> OfSlots:
    """Outputs [T·K, H] in `dtype` from inner rows and weights [E, H, I], both e4m3 or neither."""
    experts, width, inner = weights.values.shape
    rows = lists.indices.shape[1]
    block_t = rows_of_a_tile(rows) if block_t is None else block_t
    operand, tma = tiled(weights.values.flatten(0, 1), [BLOCK_H, GROUP], tma=tma)
    y = a.values.new_empty(len(a.values), width, dtype=dtype)
    _expert_down_kernel[(triton.cdiv(width, BLOCK_H), experts)](
        a.values,
        a.scales,
        operand,
        weights.scales,
        lists.indices,
        lists.counts,
        y,
        rows,
        H=width,
        INNER=inner,
        E=experts,
        GROUP=GROUP,
        BLOCK_T=block_t,
        BLOCK_H=BLOCK_H,
        STAGES=4 if tma and block_t < 128 else 3,
        TMA=tma,
        num_warps=4 if block_t < 64 else 8,
        **how_to_launch(),
    )
    return y


@triton.jit
def _expert_down_kernel(
    a,
    a_scales,
    weights,
    weight_scales,
    indices,
    counts,
    y,
    rows,
    H: tl.constexpr,
    INNER: tl.constexpr,
    E: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
):
    in_turn()
    first_column = tl.program_id(0) * BLOCK_H
    expert = tl.program_id(1)
    count = tl.load(counts + expert)
    column = first_column + tl.arange(0, BLOCK_H)
    mask = column < H
    groups: tl.constexpr = (INNER + GROUP - 1) // GROUP
    for first in range(0, count, BLOCK_T):
        place = first + tl.arange(0, BLOCK_T)
        live = place < count
        index = tl.load(indices + expert.to(tl.int64) * rows + place, mask=live, other=0)
        once = loaded_once(index)
        index = index.to(tl.int64)

        acc = tl.zeros((BLOCK_H, BLOCK_T), tl.float32)
        # stages asked for here let the loads of scales run ahead too, which feed no product
        for k in tl.range(0, INNER, GROUP, num_stages=STAGES):
            w = load_tile(weights, expert * H + first_column, k, E * H, INNER, BLOCK_H, GROUP, TMA)
            t = load_columns(a, index, live, k, INNER, GROUP)
            if weight_scales is not None:
                scale = tl.load(a_scales + once * groups + k // GROUP, mask=live, other=0.0)
                acc += tl.dot(w, t) * scale[None, :]
            else:
                acc = tl.dot(w, t, acc, input_precision="ieee")

        if weight_scales is not None:
            channel = weight_scales + expert * H + column
            acc *= tl.load(channel, mask=mask, other=0.0)[:, None]
        out = y + index[:, None] * H + column[None, :]
        tl.store(out, acc.to(y.dtype.element_ty).T, mask=live[:, None] & mask[None, :])
