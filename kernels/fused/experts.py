"""Experts of every row, one launch per product: y = W2[e] ( gelu_tanh(gate) · up ) for each slot.

See expert_gate_up.py and expert_down.py, and their twins for few bits. The weighted sum over a
row's slots is the next kernel's (after_experts.py); with it, this is kernels/experts.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from palimpsest.kernels.experts import Down, GateUp
from palimpsest.kernels.fused.expert_down import OfSlots, expert_down, expert_down_reference
from palimpsest.kernels.fused.expert_down_low import expert_down_low
from palimpsest.kernels.fused.expert_gate_up import expert_gate_up, expert_gate_up_reference
from palimpsest.kernels.fused.expert_gate_up_low import expert_gate_up_low
from palimpsest.kernels.fused.expert_rows import ExpertRows
from palimpsest.kernels.fused.rounding import Rounded
from palimpsest.kernels.lowbit import Bits, LowBit, quantise_low
from palimpsest.kernels.shapes import ExpertIds


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertMatrices:
    """Of all experts: [E, 2I, H], gate before up, and [E, H, I]; as they are, in e4m3 with a scale
    per row, or in 6 or 4 bits.
    """

    gate_up: Rounded | LowBit
    down: Rounded | LowBit

    @classmethod
    def of(cls, gate_up: GateUp, down: Down, *, bits: Bits | Literal[8] | None) -> ExpertMatrices:
        """In so many bits a weight; None: as they are."""
        if bits == 4 or bits == 6:
            low = quantise_low(gate_up, bits=bits, gated=True)
            return cls(gate_up=low, down=quantise_low(down, bits=bits))
        quantised = bits is not None
        return cls(
            gate_up=Rounded.of(gate_up, quantised=quantised),
            down=Rounded.of(down, quantised=quantised),
        )


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
    """Outputs [T·K, H] in `dtype`, not yet weighted, from rows [T, H]; e4m3 unless the weights are
    as they were.

    Slots in no expert's list are left as they were allocated.
    """
    gate_up, down = weights.gate_up, weights.down
    if isinstance(gate_up, LowBit):
        gated = expert_gate_up_low(x, gate_up, lists=lists, experts_per_row=experts_per_row)
    else:
        gated = expert_gate_up(x, gate_up, lists=lists, experts_per_row=experts_per_row)
    if isinstance(down, LowBit):
        return expert_down_low(gated, down, lists=lists, dtype=dtype)
    return expert_down(gated, down, lists=lists, dtype=dtype)
