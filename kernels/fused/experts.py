"""Experts of every row, one launch per product: y = W2[e] ( gelu_tanh(gate) · up ) for each slot.

See expert_gate_up.py and expert_down.py. The weighted sum over a row's slots is the next kernel's
(after_experts.py); with it, this is kernels/experts.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from palimpsest.kernels.fused.expert_down import OfSlots, expert_down, expert_down_reference
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up, expert_gate_up_reference
from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.shapes import ExpertIds


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertMatrices:
    """Of all experts: [E, 2I, H], gate before up, and [E, H, I]; in e4m3 with a scale per row."""

    gate_up: Rounded
    down: Rounded


def experts_reference(
    x: Rounded, weights: ExpertMatrices, *, ids: ExpertIds, dtype: torch.dtype
) -> OfSlots:
    """Of every slot, from ids [T, K]."""
    gated = expert_gate_up_reference(x, weights.gate_up, ids=ids)
    return expert_down_reference(gated, weights.down, ids=ids, dtype=dtype)


def experts(
    x: Rounded,
    weights: ExpertMatrices,
    *,
    lists: ExpertRows,
    experts_per_row: int,
    dtype: torch.dtype,
) -> OfSlots:
    """Outputs [T·K, H] in `dtype`, not yet weighted, from rows [T, H], e4m3 as the weights are.

    Slots in no expert's list are left as they were allocated.
    """
    gated = expert_gate_up(x, weights.gate_up, lists=lists, experts_per_row=experts_per_row)
    return expert_down(gated, weights.down, lists=lists, dtype=dtype)
