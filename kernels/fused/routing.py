"""Which K of E experts each row goes to, and with what weight; one program per block of rows.

scores = P x, rounded to the dtype of x as a linear layer's are; of the K largest (of equals the
first) the softmax in fp32, which is that of all renormalised to sum 1; times the expert's own scale
(kernels/routing.py). The experts stand on the M side of the product, so that few rows suffice for
the tensor cores.

A block of rows reads (E + BLOCK_T) · H elements, E · H of them mostly from the L2 cache, and writes
8 · K bytes a row; 2 · T · H · E FLOPs. Rows are contiguous. Ids are distinct and within 0..E - 1
whatever a row holds, NaN included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.fused.tiles import load_tile, tiled
from palimpsest.kernels.routing import PerExpert
from palimpsest.kernels.shapes import ExpertIds, ExpertWeights

RouterRows = Float[Tensor, "T H"]
Projection = Float[Tensor, "E H"]

BLOCK_T = 32
BLOCK_K = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Of every row, best first: weights (fp32) and ids (int32) of its experts."""

    weights: ExpertWeights
    experts: ExpertIds


def routing_reference(
    x: RouterRows,
    *,
    projection: Projection,
    per_expert_scale: PerExpert,
    experts_per_row: int,
) -> Routed:
    scores = torch.nn.functional.linear(x, projection)
    probabilities = torch.softmax(scores, dim=-1, dtype=torch.float32)
    # in bf16 scores are often equal: the first comes first, where topk on a GPU takes any
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    weights, experts = ordered[:, :experts_per_row], order[:, :experts_per_row]
    weights = weights / weights.sum(dim=-1, keepdim=True) * per_expert_scale.float()[experts]
    return Routed(weights=weights, experts=experts.int())


def routing(
    x: RouterRows,
    *,
    projection: Projection,
    per_expert_scale: PerExpert,
    experts_per_row: int,
    tma: bool | None = None,
) -> Routed:
    rows, width = x.shape
    count = len(projection)
    block_e = max(16, triton.next_power_of_2(count))
    operand, tma = tiled(projection, [block_e, BLOCK_K], tma=tma)
    made = Routed(
        weights=x.new_empty(rows, experts_per_row, dtype=torch.float32),
        experts=x.new_empty(rows, experts_per_row, dtype=torch.int32),
    )
    _routing_kernel[(triton.cdiv(rows, BLOCK_T),)](
        x,
        operand,
        per_expert_scale,
        made.weights,
        made.experts,
        rows,
        H=width,
        E=count,
        K=experts_per_row,
        BLOCK_T=BLOCK_T,
        BLOCK_E=block_e,
        BLOCK_K=BLOCK_K,
        SLOTS=triton.next_power_of_2(experts_per_row),
        TMA=tma,
        num_warps=8,
        num_stages=4 if tma else 3,
        **how_to_launch(),
    )
    return made


@triton.jit
def _routing_kernel(
    x,
    projection,
    per_expert_scale,
    weights,
    experts,
    rows,
    H: tl.constexpr,
    E: tl.constexpr,
    K: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SLOTS: tl.constexpr,
    TMA: tl.constexpr,
):
    in_turn()
    row = tl.program_id(0).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    live = row < rows
    expert = tl.arange(0, BLOCK_E)

    scores = tl.zeros((BLOCK_E, BLOCK_T), tl.float32)
    for k in tl.range(0, H, BLOCK_K):
        p = load_tile(projection, 0, k, E, H, BLOCK_E, BLOCK_K, TMA)
        column = k + tl.arange(0, BLOCK_K)
        mask = live[:, None] & (column < H)[None, :]
        r = tl.load(x + row[:, None] * H + column[None, :], mask=mask, other=0.0)
        scores = tl.dot(p, r.T, scores, input_precision="ieee")
    # rounded as the plain path's are, or other experts win where two are close
    scores = scores.to(x.dtype.element_ty).T  # [BLOCK_T, BLOCK_E]
    best_scores, best = _largest(scores, expert, E, K, BLOCK_T, SLOTS)
    slot = tl.arange(0, SLOTS)
    # what softmax divides by cancels
    p = tl.exp(best_scores - tl.max(best_scores, 1)[:, None])
    p = p / tl.sum(p, 1)[:, None]
    mask = live[:, None] & (slot < K)[None, :]
    scale = tl.load(per_expert_scale + best, mask=mask, other=0.0).to(tl.float32)
    place = row[:, None] * K + slot[None, :]
    tl.store(weights + place, p * scale, mask=mask)
    tl.store(experts + place, best, mask=mask)


@triton.jit
def _largest(
    scores,  # [BLOCK_T, BLOCK_E]
    expert,
    E: tl.constexpr,
    K: tl.constexpr,
    BLOCK_T: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """The K largest of every row, descending, and where they stand; -inf and 0 in further slots."""
    BITS: tl.constexpr = scores.dtype.primitive_bitwidth
    INTEGER: tl.constexpr = tl.int16 if BITS == 16 else tl.int32
    KEY: tl.constexpr = tl.int32 if BITS == 16 else tl.int64
    NONE: tl.constexpr = -(2 ** (2 * BITS - 1))
    # Above, the score as an integer of the same order, which NaN has too; below, at least 1 and
    # more for who comes first. So one maximum finds both, and no two keys of a row are equal.
    keys = (_ordered(scores.to(INTEGER, bitcast=True)).to(KEY) << BITS) | (E - expert)[None, :]
    keys = tl.where((expert < E)[None, :], keys, NONE)
    slot = tl.arange(0, SLOTS)
    best = tl.full((BLOCK_T, SLOTS), NONE, KEY)
    for k in tl.static_range(K):
        largest = tl.max(keys, 1)[:, None]
        best = tl.where((slot == k)[None, :], largest, best)
        keys = tl.where(keys == largest, NONE, keys)
    used = (slot < K)[None, :]
    best_scores = _ordered((best >> BITS).to(INTEGER)).to(scores.dtype, bitcast=True)
    place = E - (best & (2**BITS - 1)).to(tl.int32)
    return tl.where(used, best_scores.to(tl.float32), float("-inf")), tl.where(used, place, 0)


@triton.jit
def _ordered(bits):
    """Integers in the order of the floats that have these bits; its own inverse."""
    BITS: tl.constexpr = bits.dtype.primitive_bitwidth
    return bits ^ ((bits >> (BITS - 1)) & (2 ** (BITS - 1) - 1))
