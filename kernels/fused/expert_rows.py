"""The rows of every expert: its flat indices row · K + slot, ascending; one program per expert.

A program scans the ids of all rows in chunks and writes where its own are found at the running
count. Nothing is sorted and nothing added by several programs, so lists are the same every time.

Reads 4 · T · K bytes per expert, from the L2 cache after the first; writes 4 · T · K in all. Rows
that are not alive (padding) go to no expert.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Int
from torch import Tensor

from palimpsest.kernels.fused.overlap import how_to_launch, in_turn
from palimpsest.kernels.shapes import ExpertIds

Alive = Bool[Tensor, " T"]
Indices = Int[Tensor, "E T"]
Counts = Int[Tensor, " E"]

CHUNK = 2048
"""Ids: those of one canvas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertRows:
    """Of every expert, the first `counts[e]` of `indices[e]`; what follows them is undefined."""

    indices: Indices
    counts: Counts


def expert_rows_reference(
    experts: ExpertIds, *, alive: Alive | None = None, num_experts: int
) -> list[Tensor]:
    """The lists without what follows them."""
    if alive is not None:
        experts = torch.where(alive[:, None], experts, -1)
    return [(experts.flatten() == e).nonzero().flatten().int() for e in range(num_experts)]


def expert_rows(experts: ExpertIds, *, alive: Alive | None = None, num_experts: int) -> ExpertRows:
    """Lists for ids (int32, distinct in a row) of `num_experts` experts."""
    rows, per_row = experts.shape
    made = ExpertRows(
        indices=experts.new_empty(num_experts, rows), counts=experts.new_empty(num_experts)
    )
    _expert_rows_kernel[(num_experts,)](
        experts,
        alive,
        made.indices,
        made.counts,
        rows,
        K=per_row,
        CHUNK=CHUNK,
        num_warps=8,
        **how_to_launch(),
    )
    return made


@triton.jit
def _expert_rows_kernel(
    experts,
    alive,
    indices,
    counts,
    rows,
    K: tl.constexpr,
    CHUNK: tl.constexpr,
):
    in_turn()
    expert = tl.program_id(0)
    indices += expert.to(tl.int64) * rows
    count = tl.zeros((), tl.int32)
    for first in range(0, rows * K, CHUNK):
        index = first + tl.arange(0, CHUNK)
        mask = index < rows * K
        if alive is not None:
            mask &= tl.load(alive + index // K, mask=mask, other=0) != 0
        found = (tl.load(experts + index, mask=mask, other=-1) == expert).to(tl.int32)
        place = count + tl.cumsum(found, 0) - 1
        tl.store(indices + place, index, mask=found != 0)
        count += tl.sum(found, 0)
    tl.store(counts + expert, count)
